"""Phase as a camera of pymmcore-plus, so that its acquisitions record phase beside stages, channels and time.

`phase_camera.PhaseCamera` is all there is. It rests on `qpi_live.PhaseClient`, so the microscope's service may stand at
another machine. Needs the extra `micromanager`. Micro-Manager's cameras as a source: `qpi_live.camera.micromanager`.
"""
