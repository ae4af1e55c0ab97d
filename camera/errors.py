"""What can go wrong with a camera. Vendors' own exceptions are translated into these in their adapters."""


class CameraError(RuntimeError):
    """A camera cannot do what was asked; the text says what was expected, what came, and what to do."""


class CameraUnavailable(CameraError):
    """The camera cannot be opened: not there, in use, not readable, or its driver is not installed."""


class CameraTimeout(CameraError):
    """No frame came within the time allowed; the camera may still deliver later."""


class CameraLost(CameraError):
    """The camera was there and is gone; it must be opened again."""
