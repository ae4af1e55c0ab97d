"""A user's own folder, full of files named like the program's; each ends the process that imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_NAMES = ("models", "camera", "service", "bench", "tests", "frame", "device", "report")

ASK_CLIENT = """
import qpi_live
from qpi_live import PhaseClient
print(PhaseClient.__module__, qpi_live.__file__)
"""


def make_hostile(folder: Path) -> Path:
    """The folder, with the files."""
    for name in _NAMES:
        (folder / f"{name}.py").write_text(f"raise SystemExit('the user\\'s own {name}.py was imported')\n")
    return folder


def read_a_frame(producer: Path) -> str:
    """A program that reads one frame of a GenICam camera, which its capture process opens."""
    # The script itself has its folder on the path; the capture process has not, so this one reaches the script alone.
    return f"""
from qpi_live.camera.source import CameraOptions, open_camera
if __name__ == "__main__":
    camera = open_camera("gentl:{producer}", CameraOptions())
    camera.start()
    print(camera.read(20.0).shape)
    camera.stop()
"""


def run_beside(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program as a script of that folder."""
    (folder / "script.py").write_text(program)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
