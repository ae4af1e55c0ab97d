"""What phase is for: cells, regions, refocus, averages. Pure functions over arrays, in rad and pixels.

Start with `cells.py`: it finds the cells of a phase map and measures each. `scale.py` turns pixels and rad into µm, nm
and pg, where the optics are known. `tracking.py` follows cells from frame to frame, `growth.py` says how fast they
grow. `refocus.py` propagates a field, `regions.py` measures what a person drew, `tables.py` writes it all down.
"""

import qpi_live.camera.kernel_cache  # noqa: F401 - before any kernel is declared
