"""Frames on an NVIDIA GPU: the CUDA device behind `camera.device.Device`, and the queue that uploads ahead."""
