"""Interferograms on disk: `image_file` decodes one image, `recording` many frames, `replay` plays them as a camera.

`writers` has how recordings are written, and `repair` closes those that were cut off.
"""
