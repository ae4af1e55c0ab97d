"""Frames on their way to a device: a ring of slots, each of device memory with page-locked staging beside it."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Array, Device, DeviceError, DeviceLost, Event
from qpi_live.camera.frame import OnDevice, Pixels

CameraMemory = Callable[[], NDArray[np.uint8] | None]
"""The page-aligned memory that a camera's frames lie in at present; None where there is none."""

_log = logging.getLogger(__name__)


class _Slot:
    """Device memory for one frame, and what its last upload came from and ended with."""

    def __init__(self, device: Device, nbytes: int) -> None:
        self.memory = device.allocate(nbytes)
        self.staging = device.page_locked((nbytes,), np.dtype(np.uint8))
        self.source: Array | None = None
        self.ready: Event | None = None


class DeviceRing:
    """Uploads frames on a stream of its own, beside whatever an engine does on its streams. One thread calls it.

    A slot is used again once nobody holds the `OnDevice` that stands for it and its upload is over. Frames of another
    size get slots of their own. Those of the old size are freed as they come back, for which the driver may wait. That
    is once for each slot, and the only wait in here.

    Args:
        device: where to.
        most_slots: how many frames may lie there at a time.
        camera_memory: is page-locked, and again when it is another, so that frames in it go up without a copy.
    """

    def __init__(self, device: Device, most_slots: int, camera_memory: CameraMemory | None = None) -> None:
        self._device = device
        self._most_slots = most_slots
        self._stream = device.stream()
        self._locked = _LockedMemory(device, camera_memory) if camera_memory else None
        self._back: deque[_Slot] = deque()  # a slot may come back inside a garbage collection, so without a lock
        self._free: list[_Slot] = []
        self._slots = 0

    def upload(self, pixels: Pixels) -> OnDevice | None:
        """Enqueue the upload of `pixels`, which nobody may write any more; None where every slot is in use.

        Raises:
            DeviceError: the device cannot.
        """
        self._collect()
        slot = self._take(pixels.nbytes)
        if slot is None:
            return None
        try:
            began = self._stream.record()
            slot.source = self._source(slot, pixels)
            self._stream.upload(slot.source, slot.memory)
            slot.ready = self._stream.record()
        except DeviceError:
            self._back.append(slot)
            raise
        on_device = OnDevice(self._device, slot.memory, began, slot.ready)
        weakref.finalize(on_device, self._back.append, slot).atexit = False
        return on_device

    def close(self) -> None:
        """Let go of what nobody holds; the rest goes when its holders do."""
        try:
            self._stream.synchronize()
            self._collect()
        except DeviceError as error:  # nothing can run on it any more
            _log.debug("a ring on a device that fails was closed: %s", error)
        for slot in self._free:
            slot.memory.free()
        self._free.clear()
        if self._locked:
            self._locked.release()

    def _collect(self) -> None:
        """Sort out the slots that came back: those whose upload is over are free."""
        for _ in range(len(self._back)):
            slot = self._back.popleft()
            if slot.ready is None or slot.ready.is_done():
                slot.source = None  # the camera may use its own slot again
                self._free.append(slot)
            else:
                self._back.append(slot)

    def _take(self, nbytes: int) -> _Slot | None:
        while self._free:
            slot = self._free.pop()
            if slot.memory.nbytes == nbytes:
                return slot
            self._slots -= 1
            slot.memory.free()
        if self._slots == self._most_slots:
            return None
        slot = _Slot(self._device, nbytes)
        self._slots += 1
        return slot

    def _source(self, slot: _Slot, pixels: Pixels) -> Array:
        """Page-locked memory that holds the pixels: where they lie, or the slot's staging."""
        if self._locked and self._locked.holds(pixels, self._stream.synchronize):
            return pixels
        np.copyto(slot.staging, pixels.reshape(-1).view(np.uint8))
        return slot.staging


class _LockedMemory:
    """Keeps the memory that a camera's frames lie in page-locked, whichever it is at present."""

    def __init__(self, device: Device, camera_memory: CameraMemory) -> None:
        self._device = device
        self._camera_memory = camera_memory
        self._memory: NDArray[np.uint8] | None = None  # held, so that no other memory can have its address
        self._lock: AbstractContextManager[None] | None = None

    def holds(self, pixels: Pixels, finish: Callable[[], None]) -> bool:
        """Whether `pixels` lie in page-locked memory; `finish` is called before memory is unlocked."""
        memory = self._camera_memory()
        if memory is None:
            return False
        if self._memory is None or _extent(memory) != _extent(self._memory):
            finish()
            self.release()
            self._memory = memory
            self._lock = self._page_lock(memory)
        if self._lock is None:
            return False
        (start, size), (first, length) = _extent(memory), _extent(pixels)
        return start <= first and first + length <= start + size

    def release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            lock.__exit__(None, None, None)
        except DeviceError as error:  # it was lost, and the lock with it
            _log.debug("the camera's memory was not unlocked: %s", error)

    def _page_lock(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None] | None:
        try:
            lock = self._device.page_lock(memory)
            lock.__enter__()
        except DeviceLost:
            raise
        except DeviceError as error:
            _log.warning("frames are copied before they go up, since the camera's memory cannot be locked: %s", error)
            return None
        return lock


def _extent(array: Array) -> tuple[int, int]:
    """Address and bytes."""
    address: int = array.__array_interface__["data"][0]
    return address, array.nbytes
