"""Which of a recording's stacks and channels are the holograms: by what was asked, by their names, by their fringes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from qpi_live.camera.files.contents import Channel, Contents, Facts, Stack, Values
from qpi_live.camera.files.image_bounds import ImageFileError

_BETWEEN = r"(?<![a-z]){}(?![a-z])"
_HOLOGRAM = re.compile(
    _BETWEEN.format(r"(holo\w*|interferogra?ms?|off[-_ ]?axis|dhm|qpi|fringes?|data|images?|frames?|raw)"),
    re.IGNORECASE,
)
_HOLOGRAM_CHANNEL = re.compile(
    _BETWEEN.format(r"(holo\w*|interference|interferogra?ms?|off[-_ ]?axis|dhm|qpi|fringes?)"), re.IGNORECASE
)
_NO_HOLOGRAM = re.compile(
    _BETWEEN.format(r"(back(ground)?|bg|ref(erence)?|dark|flat(field)?|calib\w*|blank|mask|phase|amplitude|label\w*)"),
    re.IGNORECASE,
)
_FLUORESCENCE = re.compile(
    _BETWEEN.format(
        r"(e?[gryc]fp|m?cherry|tdtomato|m?venus|dapi|fitc|tritc|cy ?[2357](\.5)?|texas ?red|hoechst|alexa|rhodamine|"
        r"fluo\w*|sytox|gcamp\w*|dsred|bodipy|calcein|nile ?red|propidium|mitotracker|epi-?fluorescence)"
    ),
    re.IGNORECASE,
)
_OFF_AXIS = re.compile(r"off[- ]?axis|hologra|dhm|interferogram", re.IGNORECASE)
_NOT_OFF_AXIS = re.compile(r"in-?line|on-?axis|lensless|gabor|lateral shearing|qlsi", re.IGNORECASE)
FEWEST_UNFOLDED = 5  # nameless channels of a single frame that are no channels but frames
_FEWEST_TIMES_NOISE = 300.0  # the brightest line of white noise is some 20 times its median; fringes' is thousands
_TIMES_THE_OTHERS = 10.0
_SERIES_KINDS = {
    "OME-TIFF",
    "OME-Zarr",
    "Micro-Manager TIFF",
    "Micro-Manager folder",
    "NDTiff run",
    "folder of folders",
}
_LOWEST_FREQUENCY = 1 / 25  # cycles per pixel


def is_background_name(name: str) -> bool:
    """Whether a file, array or dataset is by its name no hologram of the specimen: `background.tif`, `bg_data`."""
    return bool(_NO_HOLOGRAM.search(name)) and not _HOLOGRAM_CHANNEL.search(name)


def is_other_image(name: str) -> bool:
    """Whether an image that lies among holograms is by its name none: a background, or fluorescence."""
    return is_background_name(name) or bool(_FLUORESCENCE.search(name) and not _HOLOGRAM_CHANNEL.search(name))


def refuse_foreign(facts: Facts) -> None:
    """Refuse measurements that say of themselves that they are no off-axis holograms.

    Raises:
        ImageFileError: with the modality's name.
    """
    stated = facts.modality
    if stated and (_NOT_OFF_AXIS.search(stated) or not _OFF_AXIS.search(stated)):
        raise ImageFileError(f"expected off-axis holograms, got a file that states its modality as {stated!r}")


def choose_stack(contents: Contents, wanted: str) -> tuple[Stack, str]:
    """The stack of this name, or the only one that can be meant; and a sentence about those left out.

    Raises:
        ImageFileError: no such stack, or several that could be meant: the text lists them.
    """
    stacks = contents.stacks
    listed = ", ".join(f"{stack.name or 'one'} ({_measures(stack)})" for stack in stacks[:12])
    if wanted:
        found = [stack for stack in stacks if stack.name.strip("/") == wanted.strip("/")]
        if not found:
            raise ImageFileError(f"expected one of {listed}, got ::{wanted}")
        return found[0], ""
    if len(stacks) == 1:
        name = stacks[0].name
        if is_background_name(name):
            raise ImageFileError(f"expected holograms, got {listed}; if that is what they are, play PATH::{name}")
        return stacks[0], ""
    named = [stack for stack in stacks if not is_background_name(stack.name)]
    meant = [stack for stack in named if _HOLOGRAM.search(stack.name)]
    for candidates in (meant, named):
        if len(candidates) == 1:
            others = ", ".join(stack.name for stack in stacks if stack is not candidates[0])
            return candidates[0], f"Playing {candidates[0].name}; also there: {others}."
    if contents.kind in _SERIES_KINDS:
        return stacks[0], f"Playing {stacks[0].name}, 1 of {len(stacks)}; others by PATH::NAME."
    raise ImageFileError(f"expected to know what to play, got {listed}; add its name, as in PATH::{stacks[0].name}")


def choose_channel(stack: Stack, wanted: str) -> tuple[int, str]:
    """The channel of this name or number, or the one with the holograms; and a sentence about those left out.

    Raises:
        ImageFileError: no such channel, or it cannot be told which are the holograms.
    """
    channels = stack.channels
    names = [channel.name or f"channel {number}" for number, channel in enumerate(channels)]
    listed = ", ".join(names)
    if wanted:
        for number, name in enumerate(names):
            if wanted.lower() == name.lower() or wanted == str(number):
                return number, "" if len(channels) == 1 else f"Channel {name} of {listed}."
        raise ImageFileError(f"expected a channel among {listed}, got --channel {wanted}")
    candidates = [number for number, channel in enumerate(channels) if not _is_fluorescence(channel)]
    if not candidates:
        raise ImageFileError(f"expected holograms, got fluorescence ({listed}); if not, add --channel '{names[0]}'")
    if len(channels) == 1:
        return 0, ""
    named = [number for number in candidates if _HOLOGRAM_CHANNEL.search(channels[number].name)]
    chosen = named[0] if len(named) == 1 else candidates[0] if len(candidates) == 1 else _by_fringes(stack, candidates)
    if chosen is None:
        raise ImageFileError(f"expected to know which channel has the holograms, got {listed}; add --channel NAME")
    return chosen, f"Channel {names[chosen]} of {listed}."


def unfolded(stack: Stack) -> Stack:
    """`stack`, or its channels as its frames: many programs write a series of images as nameless channels of one."""
    count = len(stack.channels)
    if stack.frames != 1 or count < 2 or any(channel.name or channel.kind for channel in stack.channels):
        return stack
    if count < FEWEST_UNFOLDED and _by_fringes(stack, range(count)) is not None:
        return stack

    def plane(frame: int, _channel: int) -> Values:
        return stack.plane(0, frame)

    return replace(stack, frames=count, promised=count, channels=(Channel(),), plane=plane)


def first_readable(stack: Stack, channel: int, tries: int = 16) -> Values:
    """The first frame that can be read: it says what the others are like.

    Raises:
        ImageFileError: none of the first ones can.
    """
    failure = ImageFileError("expected a recording of at least one frame, got none")
    for frame in range(min(stack.frames, tries)):
        try:
            return stack.plane(frame, channel)
        except ImageFileError as error:
            failure = error
    if stack.frames == 0 and stack.promised:
        stack.plane(0, channel)  # raises, and says what is missing of it
    raise failure


def _is_fluorescence(channel: Channel) -> bool:
    if _HOLOGRAM_CHANNEL.search(channel.name):
        return False
    return bool(_FLUORESCENCE.search(f"{channel.name} {channel.kind}"))


def _by_fringes(stack: Stack, candidates: Sequence[int]) -> int | None:
    """The one channel that has fringes and of which no other comes near; None where there is no such."""
    strengths = sorted(
        ((fringe_strength(first_readable(stack, number)), number) for number in candidates), reverse=True
    )
    (strongest, number), (second, _) = strengths[:2]
    return number if strongest > max(_FEWEST_TIMES_NOISE, _TIMES_THE_OTHERS * second) else None


def fringe_strength(values: Values) -> float:
    """How far the strongest line of the spectrum outside of its middle stands above the median there, in power."""
    grey = values[..., 0] if values.ndim == 3 else values
    height, width = (min(length, 512) for length in grey.shape)
    top, left = (grey.shape[0] - height) // 2, (grey.shape[1] - width) // 2
    window = np.asarray(grey[top : top + height, left : left + width], np.float64)
    tapered = (window - window.mean()) * np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.rfft2(tapered)) ** 2
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    outside = power[distance > _LOWEST_FREQUENCY]
    median = float(np.median(outside)) if outside.size else 0.0
    return float(outside.max()) / median if median > 0 else 0.0


def _measures(stack: Stack) -> str:
    return f"{stack.frames} × {stack.shape[0]} × {stack.shape[1]} {stack.dtype}"
