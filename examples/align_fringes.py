"""Watch the fringes while you turn the mirror: `python align_fringes.py [URL] [SECONDS]`.

Prints the statistics that say how good the fringes are. Stops after SECONDS; without it, on Ctrl+C.
"""

import sys
from time import monotonic, sleep

from qpi_live import PhaseClient

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
until = monotonic() + float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")

with PhaseClient(url) as microscope:
    while monotonic() < until:
        stats = microscope.stats()
        print(f"{stats.state.name}: {stats.state.sentence}")
        sleep(0.5)
