"""Every camera that Micro-Manager drives, through pymmcore-plus, by a Micro-Manager configuration file.

`camera.MicroManagerCamera` is where to start. The drivers run in a process of their own (`camera.capture`).
"""
