"""Whether a calibration frame holds for a frame, and whether it is one."""

from __future__ import annotations

from dataclasses import replace

from qpi_live.camera.frame import Frame
from qpi_live.models.classical.carrier import Carrier, find_carrier
from qpi_live.models.classical.chain import left_out
from qpi_live.models.classical.modulation import low_modulation
from qpi_live.models.classical.sign import sign_of_objects
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.classical.unwrapping import goldstein
from qpi_live.models.errors import InferenceError

_RINGING = 2.0  # as for the frames themselves


def why_it_rests(calibration: Frame, frame: Frame) -> str | None:
    """Why `calibration` does not hold for `frame`, as half a sentence; None if it does.

    An instrument's phase belongs to places on the sensor. So the two must show the same part of it, binned and mirrored
    alike. What nobody knows of a calibration frame, such as one from a file, is no difference.
    """
    if calibration.shape != frame.shape:
        return "the calibration frame has another size"
    if calibration.source and frame.source and calibration.source != frame.source:
        return "the calibration frame is another camera's"
    if calibration.origin_px is not None and calibration.origin_px != frame.origin_px:
        return "the calibration frame shows another part of the recording"
    changed = [name for name, value in calibration.sensor_window.items() if frame.sensor_window.get(name) != value]
    return f"the camera has another {' and '.join(changed)} than the calibration frame" if changed else None


def bound_to(calibration: Frame, frame: Frame) -> Frame:
    """The calibration frame, of which nothing was known so far, as one of the same window as `frame`."""
    if calibration.settings is not None or calibration.origin_px is not None:
        return calibration
    return replace(calibration, settings=frame.settings, origin_px=frame.origin_px)


def check_carrier(frame: Frame) -> Carrier:
    """The carrier of an interferogram that shall calibrate; ValueError where there is none."""
    try:
        return find_carrier(frame.pixels, frame.bit_depth)
    except InferenceError as error:
        raise ValueError(f"expected a sample-free interferogram: {error}") from error


def check_sample_free(frame: Frame, threads: int | None) -> None:
    """Raise ValueError where an interferogram cannot calibrate: there is no carrier in it, or there are objects."""
    carrier = check_carrier(frame)
    try:
        retriever = TakedaRetriever(frame.shape, carrier, threads=threads)
    except InferenceError as error:
        raise ValueError(f"expected a sample-free interferogram: {error}") from error
    field = retriever.wrapped_field(frame.pixels)
    mask = left_out(low_modulation(field.amplitude), frame, retriever)
    unwrapped = goldstein.unwrap(field.phase_rad, field.amplitude, mask)
    if sign_of_objects(unwrapped.phase_rad, mask, _RINGING / retriever.radius) != 0:
        raise ValueError(
            "expected a sample-free interferogram, got one with objects in it, which would stand in every phase as "
            "holes: move to an empty field, or take it all the same with force"
        )
