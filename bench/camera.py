"""How fast, how complete and how unobtrusive a GenICam camera streams.

    python bench/camera.py
    python bench/camera.py --soak 600 --restarts 100 --json result.json

The camera is the project's own virtual one, opened through harvesters as any other. What is measured, and how, stands
in `bench.genicam` and `bench.genicam_soak`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    # Run as a file, this folder comes first on the path, and this file would hide the package `camera`.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    import_module("bench.genicam").run()
