"""Says which Python to use where a bench is started with one that lacks the program's packages.

A bench that is started as a file (`python bench/latency.py`) imports this before anything else, from its own folder.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("typer") is None or find_spec("qpi_live") is None:
    folder = Path(__file__).resolve().parents[1]
    python = folder / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    sys.exit(f"expected a Python with qpi-live, got {sys.executable}: run `make setup`, then take {python}")
