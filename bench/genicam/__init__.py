"""The figures of `bench/camera.py`: rate, gaps, unpacking, the event loop beside a camera, soak and restarts."""
