"""Cells and regions of the newest phase frames, measured beside the line.

`measurer.py` is where to start. Nothing here delays a frame: what there is no time for is skipped, and counted.
"""
