"""What Micro-Manager's tests share."""

PYTHON_DEVICE = """\
#py pyDevice,Hologram,tests.camera.micromanager.python_camera,HologramCamera
#py Property,Core,Initialize,1
#py Property,Core,Camera,Hologram
"""
