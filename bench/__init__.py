"""Measures cameras, engines and the service, all in the same way."""

import sys
from pathlib import Path

# A bench that is run as a file has this folder first on its path, and there camera.py would hide the package `camera`.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != _HERE]
