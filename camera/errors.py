"""The errors of a camera. Vendors' own exceptions are translated into these in their adapters."""


class CameraError(RuntimeError):
    """A camera cannot do what was asked; the text says what was expected, what came, and what to do."""


class CameraUnavailable(CameraError):
    """The camera cannot be opened: not there, in use, not readable, or its driver is not installed."""


class CameraTimeout(CameraError):
    """No frame came within the time allowed; the camera may still deliver later."""


class CameraLost(CameraError):
    """The camera was there and is gone; it must be opened again."""


class FeatureMissing(CameraError):
    """The camera has no feature of this name, or offers it only in another mode."""


class FeatureRefused(CameraError):
    """The camera has the feature but does not take this value now; the text says which it takes, or when."""
