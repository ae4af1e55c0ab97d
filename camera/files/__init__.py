"""Interferograms on disk: `image_file` decodes one image, `recording` many frames, `replay` plays them as a camera."""
