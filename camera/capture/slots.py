"""Frames in shared memory: page-aligned slots that the capture process fills and the service reads without a copy."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import weakref
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels

MOST_SLOTS = 64
LOSS_COUNTERS = 16
_FREE, _TAKEN = 0, 1
_LARGEST_BYTES = 256 << 20
_FEWEST_SLOTS = 8
_COUNTERS_AT = MOST_SLOTS  # bytes; the states of the slots come first
_HEARTBEAT_AT = _COUNTERS_AT + 8 * LOSS_COUNTERS


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """How the memory is laid out: a page of counters, then `count` slots of whole pages.

    Attributes:
        shape: (H, W) of every frame, in pixels.
        dtype: `uint8` or `uint16`.
        count: how many slots there are.
    """

    shape: tuple[int, int]
    dtype: str
    count: int

    @classmethod
    def of_frames(cls, shape: tuple[int, int], dtype: np.dtype[np.uint8] | np.dtype[np.uint16]) -> SlotLayout:
        """As many slots as a quarter of a gibibyte holds, within 8 … 64."""
        fitting = _LARGEST_BYTES // max(1, shape[0] * shape[1] * dtype.itemsize)
        return cls(shape, dtype.name, min(max(fitting, _FEWEST_SLOTS), MOST_SLOTS))

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize

    @property
    def stride(self) -> int:
        """Bytes from one slot to the next, a multiple of the page size."""
        return -(-self.frame_bytes // mmap.PAGESIZE) * mmap.PAGESIZE

    @property
    def size(self) -> int:
        """Bytes of it all."""
        return mmap.PAGESIZE + self.count * self.stride


class Slots:
    """The slots as one process sees them. One process `fill`s, the other `lend`s.

    The filler takes a slot, and it stays taken until the last array that shows its frame is gone. So a frame that
    somebody holds is never written over. Both sides change a slot's state by storing one byte, which needs no lock, and
    so may happen inside a garbage collection.

    The memory lives as long as either process or any lent array uses it.
    """

    def __init__(self, layout: SlotLayout, memory: mmap.mmap) -> None:
        self.layout = layout
        self._states = np.frombuffer(memory, np.uint8, layout.count)
        self._losses = np.frombuffer(memory, np.int64, LOSS_COUNTERS, _COUNTERS_AT)
        self._heartbeat = np.frombuffer(memory, np.int64, 1, _HEARTBEAT_AT)
        self._memory = memory

    @property
    def free(self) -> int:
        """How many slots may be filled."""
        return int(np.count_nonzero(self._states == _FREE))

    @property
    def pinnable(self) -> NDArray[np.uint8]:
        """All slots as one page-aligned run of bytes, for whoever wants to register it with a device (page-lock it)."""
        return np.frombuffer(self._memory, np.uint8, offset=mmap.PAGESIZE)

    @property
    def losses(self) -> list[int]:
        """The filler's counters, which only grow."""
        return [int(count) for count in self._losses]

    @losses.setter
    def losses(self, counts: list[int]) -> None:
        self._losses[: len(counts)] = counts

    @property
    def heartbeat_ns(self) -> int:
        """When the filler last said that it is alive, on all processes' monotonic clock; 0 while it fills none."""
        return int(self._heartbeat[0])

    @heartbeat_ns.setter
    def heartbeat_ns(self, now_ns: int) -> None:
        self._heartbeat[0] = now_ns

    def take(self) -> int | None:
        """A free slot, now taken, for the filler to write; None when all are in use."""
        slot = int(self._states.argmin())  # always the first that is free: the memory in use stays small and cached
        if self._states[slot] != _FREE:
            return None
        self._states[slot] = _TAKEN
        return slot

    def give_back(self, slot: int) -> None:
        """Whoever has the slot wants it no more."""
        self._states[slot] = _FREE

    def pixels(self, slot: int) -> Pixels:
        """(H, W) of the layout's dtype: the slot's memory itself."""
        return self._flat(slot).reshape(self.layout.shape)

    def lend(self, slot: int) -> Pixels:
        """The slot's frame, without a copy; the slot is given back when the last array or view of it is gone."""
        flat = self._flat(slot)
        # All views keep `flat` alive: NumPy shortens a chain of bases only down to the last array.
        weakref.finalize(flat, partial(self.give_back, slot)).atexit = False
        return flat.reshape(self.layout.shape)

    def copy_out(self, slot: int) -> Pixels:
        """A copy of the slot's frame; the slot is given back at once."""
        copy = self.pixels(slot).copy()
        self.give_back(slot)
        return copy

    def _flat(self, slot: int) -> Pixels:
        height, width = self.layout.shape
        offset = mmap.PAGESIZE + slot * self.layout.stride
        flat: Pixels = np.frombuffer(self._memory, self.layout.dtype, height * width, offset)
        return flat


if sys.platform == "win32":

    def create_slots(layout: SlotLayout) -> tuple[Slots, str]:
        """New slots, all free, and the name by which another process finds them."""
        name = f"qpi-live-{uuid4()}"
        return Slots(layout, mmap.mmap(-1, layout.size, tagname=name)), name

    def attach_slots(layout: SlotLayout, token: str) -> Slots:
        """The slots that another process made."""
        return Slots(layout, mmap.mmap(-1, layout.size, tagname=token))

else:

    def create_slots(layout: SlotLayout) -> tuple[Slots, int]:
        """New slots, all free, and the file descriptor by which another process finds them; the caller closes it."""
        if sys.platform == "linux":
            # Not /dev/shm: containers often give that 64 MB only, and writing past its end kills the process.
            descriptor = os.memfd_create("qpi-live-slots")
        else:
            descriptor, path = tempfile.mkstemp(prefix="qpi-live-slots-")
            os.unlink(path)
        os.ftruncate(descriptor, layout.size)
        return Slots(layout, mmap.mmap(descriptor, layout.size)), descriptor

    def attach_slots(layout: SlotLayout, token: int) -> Slots:
        """The slots behind the file descriptor `token`, which is closed."""
        memory = mmap.mmap(token, layout.size)
        os.close(token)
        return Slots(layout, memory)
