"""Print what each live phase frame holds: `python watch_phase.py [URL] [FRAMES]`."""

import sys

from qpi_live import PhaseClient

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
frames = int(sys.argv[2]) if len(sys.argv) > 2 else 10

with PhaseClient(url) as microscope:
    for count, frame in enumerate(microscope.frames(), start=1):
        low, high = frame.values.min(), frame.values.max()
        print(f"frame {frame.sequence}: {frame.values.shape} px, {low:.2f} … {high:.2f} {frame.unit}")
        if count == frames:
            break
