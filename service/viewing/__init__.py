"""Layers of a frame rendered as clients want them, and the audience. Start at `layers`."""
