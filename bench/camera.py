"""Measures a GenICam camera's stream: its rate, its losses, its load on the machine.

    python bench/camera.py
    python bench/camera.py --soak 600 --restarts 100 --json result.json

The camera is the project's own virtual one, opened through harvesters as any other. What is measured, and how, stands
in `bench.genicam.figures` and `bench.genicam.soak`.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from qpi_live.bench.genicam.figures import run

if __name__ == "__main__":
    run()
