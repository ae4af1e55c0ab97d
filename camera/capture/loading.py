"""Many settings at once, on a camera whose settings depend on each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from qpi_live.camera.errors import FeatureMissing, FeatureRefused
from qpi_live.camera.features import Feature, FeatureValue


class Settable(Protocol):
    """An open camera, in its capture process."""

    def feature(self, name: str) -> Feature:
        """What a setting is now."""

    def set(self, name: str, value: FeatureValue) -> Feature:
        """Set one."""


def load_settings(
    device: Settable, settings: Mapping[str, FeatureValue], leave_refused: bool = False
) -> dict[str, str]:
    """Set all that differ, in order; one that is refused is tried again after the others it may depend on.

    Args:
        device: the camera.
        settings: by name, in the order to set them.
        leave_refused: whether what the camera does not take stays as the camera has it.

    Returns:
        Why each setting that was left was refused, by name.

    Raises:
        FeatureMissing, FeatureRefused: by one of them; some of the others are set.
    """
    left: dict[str, str] = {}
    for name in [name for name, value in settings.items() if not _is_taken(device, name, value)]:
        try:
            device.set(name, settings[name])
        except (FeatureMissing, FeatureRefused) as error:
            if not leave_refused:
                raise
            left[name] = str(error)
    return left


def _is_taken(device: Settable, name: str, value: FeatureValue) -> bool:
    try:
        if device.feature(name).value != value:
            device.set(name, value)
    except (FeatureMissing, FeatureRefused):
        return False
    return True
