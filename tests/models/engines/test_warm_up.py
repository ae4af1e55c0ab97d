"""Warming up compiles all that a live frame may need."""

import json
import subprocess
import sys

import pytest

# In a process of its own: what other tests have compiled would hide what warming up leaves out.
_PROGRAM = """
import gc, json, sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from qpi_live.models.analysis.regions import Region, Role, with_regions
from qpi_live.models.engine import EngineOptions, open_engine
from tests.models.fringes import SHAPE, bump, frame, interferogram

def compiled():
    ours = (one for one in gc.get_objects() if isinstance(one, Dispatcher) and "qpi_live" in one.py_func.__module__)
    return {(one.py_func.__module__, one.py_func.__name__, len(one.signatures)) for one in ours if one.signatures}

name, bits = sys.argv[1], int(sys.argv[2])
engine = open_engine(name, EngineOptions())
engine.warm_up(SHAPE, bits)
warm = compiled()
for noise in (0.0, 0.05, 0.4):
    for lit in (slice(None), slice(20, 120)):
        shown = interferogram(bump(), bit_depth=bits, noise=noise)
        dark = np.full_like(shown, 2 ** (bits - 1))
        dark[lit, lit] = shown[lit, lit]
        engine.retrieve(frame(dark, bits))
        for roles in ([Role.EXCLUDED], [Role.BACKGROUND], [Role.EXCLUDED, Role.BACKGROUND]):
            boxes = [((10, 40 * k), (50, 40 * k + 40)) for k in range(2)]
            drawn = [Region(role, "ellipse", box, role) for role, box in zip(roles, boxes)]
            engine.retrieve(with_regions(frame(dark, bits), drawn))
print(json.dumps(sorted(compiled() - warm)))
"""


@pytest.mark.parametrize("bits", [8, 12])
def test_warm_up_leaves_nothing_to_compile_for_clean_noisy_half_dark_and_drawn_on_frames(bits: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "goldstein", str(bits)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
