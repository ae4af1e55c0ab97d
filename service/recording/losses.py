"""What a recording misses: why, how much, and the sentence that says so."""

from __future__ import annotations

from qpi_live.camera.account import AccountSnapshot
from qpi_live.service.line.tap import FULL
from qpi_live.service.recording.plan import ON_PURPOSE

OTHER_SIZE = "another size"
OTHER_CAMERA = "another camera or format"
NO_DISK = "not written"
NOT_WANTED = "frame not recorded"
SKIPPED = "engine skipped the frame"


def missing_in(account: AccountSnapshot) -> dict[str, int]:
    """Frames that are not in the file, by reason."""
    return {
        reason: account.dropped.get(reason, 0) + account.failed.get(reason, 0)
        for reason in (*account.dropped, *account.failed)
    }


def lost_in(account: AccountSnapshot) -> dict[str, int]:
    """Those of them that should be."""
    return {reason: count for reason, count in missing_in(account).items() if reason not in ON_PURPOSE | {NOT_WANTED}}


def said_of_frames(lost: dict[str, int]) -> str:
    """What is missing, in a sentence; "" where nothing is."""
    if not lost:
        return ""
    reasons = _by_reason(lost, {OTHER_SIZE: "their size is not the first one's"})
    return f"Frames that are missing: {reasons}."


def said_of_phases(lost: dict[str, int]) -> str:
    """Which phases are missing, in a sentence; "" where none is."""
    if not lost:
        return ""
    frames = sum(lost.values())
    reasons = _by_reason(lost, {SKIPPED: "the engine skipped it to stay live"})
    return f"{frames} {'frame has' if frames == 1 else 'frames have'} no phase: {reasons}."


def _by_reason(lost: dict[str, int], in_words: dict[str, str]) -> str:
    in_words = {FULL: "the disk is too slow", **in_words}
    return ", ".join(f"{count} ({in_words.get(reason, reason)})" for reason, count in lost.items())
