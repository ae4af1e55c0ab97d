"""The limit on what a client may send: as much as it needs, and no flood."""

from __future__ import annotations

_BURST_BYTES = 1 << 16
_BYTES_PER_S = 1 << 16  # a "ready" and a pong take 40 bytes: 1,600 frames a second


class Allowance:
    """Counts bytes against a budget that grows with time, up to a burst."""

    def __init__(self) -> None:
        self._left = float(_BURST_BYTES)
        self._counted_at = 0.0

    def takes(self, size: int, now_s: float) -> bool:
        """Whether `size` more bytes at `now_s` are within the budget."""
        self._left = min(_BURST_BYTES, self._left + (now_s - self._counted_at) * _BYTES_PER_S) - size
        self._counted_at = now_s
        return self._left >= 0
