"""Frames reach the device whole and in time, whoever holds them; what the device cannot, the host does, counted."""

import gc
import logging
from collections.abc import Iterator
from threading import Barrier, Thread

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.account import FrameAccount
from qpi_live.camera.capture.slots import SlotLayout, Slots, create_slots
from qpi_live.camera.device import DeviceError, DeviceLost, DeviceUnavailable
from qpi_live.camera.frame import Frame, OnDevice, Pixels
from qpi_live.camera.gpu.cuda_device import open_device
from qpi_live.camera.gpu.queue import GpuFrameQueue, Uploads
from qpi_live.camera.gpu.ring import DeviceRing

from tests.cuda_host.device import HostDevice
from tests.cuda_host.memory import HostMemory

SHAPE = (32, 48)


def frame(sequence: int, shape: tuple[int, int] = SHAPE, bit_depth: int = 8) -> Frame:
    rng = np.random.default_rng(sequence)
    dtype = np.uint8 if bit_depth <= 8 else np.uint16
    return Frame(rng.integers(0, 2**bit_depth, shape, dtype), bit_depth, sequence, 0, 0)


def queue_on(device: HostDevice, account: FrameAccount | None = None, capacity: int = 2) -> GpuFrameQueue:
    return GpuFrameQueue(lambda: device, account or FrameAccount(), capacity, retry_s=0.0)


def on_device(got: Frame | None) -> OnDevice:
    assert got is not None
    assert got.on_device is not None
    return got.on_device


def pixels_there(got: Frame | None) -> Pixels:
    """What an engine would read on the device, once the upload is over."""
    there = on_device(got)
    assert got is not None
    there.ready.synchronize()
    assert isinstance(there.memory, HostMemory)
    return np.array(there.memory.view(got.pixels.dtype, got.shape))


@pytest.mark.parametrize(("shape", "bit_depth"), [((32, 48), 8), ((33, 47), 12), ((1, 1), 16)])
def test_gpu_queue_puts_the_grey_values_on_the_device_as_they_are(shape: tuple[int, int], bit_depth: int) -> None:
    device = HostDevice()
    queue = queue_on(device)
    put = frame(3, shape, bit_depth)
    queue.put(put)
    got = queue.get(0.0)
    assert got is not None
    assert got.pixels is put.pixels
    assert (got.sequence, got.bit_depth) == (3, bit_depth)
    assert on_device(got).device is device
    np.testing.assert_array_equal(pixels_there(got), put.pixels)
    assert queue.uploads == Uploads(1, {})


def test_gpu_queue_returns_from_put_and_get_before_the_upload_has_run() -> None:
    device = HostDevice(lazy=True)
    queue = queue_on(device)
    queue.put(frame(0))
    got = queue.get(0.0)
    assert not on_device(got).ready.is_done()
    np.testing.assert_array_equal(pixels_there(got), frame(0).pixels)


def test_gpu_queue_uploads_a_frame_while_the_engine_works_on_the_one_before() -> None:
    device = HostDevice(lazy=True)
    queue, engine = queue_on(device), device.stream()
    queue.put(frame(0))
    first = on_device(queue.get(0.0))
    copy = device.allocate(SHAPE[0] * SHAPE[1])
    engine.wait_for(first.ready)  # enqueued, and under way until somebody waits
    engine.fill(copy, 1)
    engine_done = engine.record()
    queue.put(frame(1))
    second = queue.get(0.0)
    on_device(second).ready.synchronize()
    assert not engine_done.is_done()
    np.testing.assert_array_equal(pixels_there(second), frame(1).pixels)
    engine_done.synchronize()


def test_gpu_queue_leaves_a_frame_on_the_device_as_long_as_somebody_holds_it() -> None:
    queue = queue_on(HostDevice())
    queue.put(frame(0))
    held = queue.get(0.0)
    for sequence in range(1, 40):
        queue.put(frame(sequence))
        assert queue.get(0.0) is not None
    np.testing.assert_array_equal(pixels_there(held), frame(0).pixels)


def test_gpu_queue_keeps_to_its_slots_whatever_is_held() -> None:
    device, held = HostDevice(), []
    queue = queue_on(device, capacity=1)
    for sequence in range(20):
        queue.put(frame(sequence))
        held.append(queue.get(0.0))
    slots = sum(got is not None and got.on_device is not None for got in held)
    assert slots == 5
    assert device.allocated_bytes == slots * SHAPE[0] * SHAPE[1]
    assert queue.uploads == Uploads(slots, {"no free slot": 20 - slots})
    for got in held[:slots]:
        assert got is not None
        np.testing.assert_array_equal(pixels_there(got), got.pixels)
    held.clear()
    gc.collect()
    queue.put(frame(20))
    np.testing.assert_array_equal(pixels_there(queue.get(0.0)), frame(20).pixels)


def test_ring_does_not_write_over_staging_that_is_still_to_be_read() -> None:
    ring = DeviceRing(HostDevice(lazy=True), 2)
    there = ring.upload(frame(0).pixels)
    assert there is not None
    memory, ready = there.memory, there.ready
    del there  # dropped from the queue before its upload has run
    gc.collect()
    assert ring.upload(frame(1).pixels) is not None
    gc.collect()
    assert ring.upload(frame(2).pixels) is None
    ready.synchronize()
    assert isinstance(memory, HostMemory)
    np.testing.assert_array_equal(memory.view(np.uint8, SHAPE), frame(0).pixels)
    assert ring.upload(frame(3).pixels) is not None


def test_gpu_queue_that_drops_a_frame_uses_its_slot_again() -> None:
    account = FrameAccount()
    queue = queue_on(HostDevice(), account)
    for sequence in range(50):
        queue.put(frame(sequence))
    assert queue.uploads == Uploads(50, {})
    assert account.snapshot().dropped == {"queue full": 48}
    for sequence in (48, 49):
        np.testing.assert_array_equal(pixels_there(queue.get(0.0)), frame(sequence).pixels)


def test_gpu_queue_follows_the_frames_size_and_frees_what_has_another() -> None:
    device = HostDevice()
    queue = queue_on(device)
    for sequence in range(6):
        queue.put(frame(sequence))
        queue.get(0.0)
    queue.put(frame(6))
    old = queue.get(0.0)
    for sequence in range(7, 30):
        queue.put(frame(sequence, (16, 20)))
        np.testing.assert_array_equal(pixels_there(queue.get(0.0)), frame(sequence, (16, 20)).pixels)
    np.testing.assert_array_equal(pixels_there(old), frame(6).pixels)
    del old
    gc.collect()
    for sequence in range(30, 40):
        queue.put(frame(sequence, (16, 20)))
        queue.get(0.0)
    assert device.allocated_bytes <= 6 * 16 * 20


def test_gpu_queue_that_closes_frees_the_device() -> None:
    device = HostDevice()
    queue = queue_on(device)
    queue.put(frame(0))
    queue.put(frame(1))
    queue.close()
    assert device.allocated_bytes == 0
    queue.put(frame(2))
    assert device.allocated_bytes == 0


@pytest.mark.parametrize("error", [DeviceError("no"), DeviceLost("gone"), DeviceUnavailable("none")])
def test_gpu_queue_on_a_device_that_fails_passes_frames_through_host_memory(
    error: DeviceError, caplog: pytest.LogCaptureFixture
) -> None:
    device, account = HostDevice(), FrameAccount()
    queue = queue_on(device, account)
    queue.put(frame(0))
    queue.get(0.0)
    with caplog.at_level(logging.WARNING):
        device.fail(error)
        for sequence in range(1, 4):
            queue.put(frame(sequence))
            got = queue.get(0.0)
            assert got is not None
            assert got.on_device is None
            np.testing.assert_array_equal(got.pixels, frame(sequence).pixels)
        device.fail(None)
        queue.put(frame(4))
    np.testing.assert_array_equal(pixels_there(queue.get(0.0)), frame(4).pixels)
    assert queue.uploads == Uploads(2, {error.reason: 3})
    assert len(caplog.records) == 2  # once that it began, once that it is over
    assert account.snapshot().captured == account.snapshot().in_flight == 5


def test_gpu_queue_on_a_device_without_memory_says_so_and_goes_on() -> None:
    device = HostDevice(memory_bytes=2 * SHAPE[0] * SHAPE[1])
    queue = queue_on(device)
    held = []
    for sequence in range(4):
        queue.put(frame(sequence))
        held.append(queue.get(0.0))
    assert queue.uploads == Uploads(2, {"device out of memory": 2})
    held.clear()
    gc.collect()
    queue.put(frame(4))
    np.testing.assert_array_equal(pixels_there(queue.get(0.0)), frame(4).pixels)


def test_gpu_queue_opens_a_lost_device_again_and_starts_afresh_on_it() -> None:
    devices = [HostDevice(), HostDevice()]
    opened = iter(devices)
    queue = GpuFrameQueue(lambda: next(opened), FrameAccount(), retry_s=0.0)
    queue.put(frame(0))
    old = queue.get(0.0)
    devices[0].lose()
    queue.put(frame(1))
    assert (queue.get(0.0) or frame(0)).on_device is None
    queue.put(frame(2))
    got = queue.get(0.0)
    assert on_device(got).device is devices[1]
    assert on_device(old).device is devices[0]
    np.testing.assert_array_equal(pixels_there(got), frame(2).pixels)


def test_gpu_queue_leaves_a_lost_device_alone_for_a_while() -> None:
    asked = []

    def open_device() -> HostDevice:
        asked.append(1)
        raise DeviceUnavailable("expected a device, got none")

    queue = GpuFrameQueue(open_device, FrameAccount(), retry_s=3600.0)
    for sequence in range(10):
        queue.put(frame(sequence))
    assert len(asked) == 1
    assert queue.uploads.through_host == {"device failed": 10}


def test_gpu_queue_under_load_never_shows_pixels_of_another_frame() -> None:
    frames, account = 2000, FrameAccount()
    queue = queue_on(HostDevice(), account)
    together, wrong, seen = Barrier(2), [], []
    sources = [frame(number) for number in range(7)]

    def produce() -> None:
        together.wait()
        for sequence in range(frames):
            source = sources[sequence % 7]
            queue.put(Frame(source.pixels, 8, sequence, 0, 0))
        queue.wait_for_room(10.0)

    def consume() -> None:
        together.wait()
        while (got := queue.get(1.0)) is not None:
            if got.on_device is not None and not np.array_equal(pixels_there(got), sources[got.sequence % 7].pixels):
                wrong.append(got.sequence)
            account.delivered()
            seen.append(got.sequence)
            if got.sequence == frames - 1:
                break

    threads = [Thread(target=work) for work in (produce, consume)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    snapshot, uploads = account.snapshot(), queue.uploads
    assert wrong == []
    assert snapshot.is_exact
    assert (snapshot.captured, snapshot.delivered, snapshot.in_flight) == (frames, len(seen), 0)
    assert uploads.on_device + sum(uploads.through_host.values()) == frames


@pytest.mark.gpu
def test_gpu_queue_uploads_on_a_real_gpu_while_the_engine_works() -> None:
    try:
        device = open_device()
    except DeviceUnavailable as missing:
        pytest.skip(str(missing))
    queue = GpuFrameQueue(lambda: device, FrameAccount())
    queue.put(frame(0, (1024, 1024)))  # lays the slot out, for which the driver would wait
    on_device(queue.get(0.0)).ready.synchronize()
    gc.collect()
    engine, busy = device.stream(), device.allocate(1 << 30)
    for _ in range(100):
        engine.fill(busy, 1)
    engine_done = engine.record()
    put = frame(1, (1024, 1024))
    queue.put(put)
    there = on_device(queue.get(0.0))
    there.ready.synchronize()
    assert not engine_done.is_done()
    got = np.zeros_like(put.pixels)
    engine.wait_for(there.ready)
    engine.download(there.memory, got)
    engine.synchronize()
    np.testing.assert_array_equal(got, put.pixels)
    busy.free()


class PinningDevice(HostDevice):
    """Keeps which memory is page-locked, and from where uploads came."""

    def __init__(self) -> None:
        super().__init__()
        self.locked: list[int] = []
        self.refuses = False

    def page_lock(self, memory: NDArray[np.uint8]):  # type: ignore[no-untyped-def]
        from contextlib import contextmanager

        @contextmanager
        def locked() -> Iterator[None]:
            if self.refuses:
                raise DeviceError("expected memory that can be locked, got some that cannot")
            self.locked.append(memory.ctypes.data)
            yield
            self.locked.remove(memory.ctypes.data)

        return locked()


@pytest.fixture
def camera_slots() -> list[Slots]:
    return [create_slots(SlotLayout(SHAPE, "uint8", 8))[0] for _ in range(2)]


def lend(slots: Slots, sequence: int) -> Frame:
    slot = slots.take()
    assert slot is not None
    slots.pixels(slot)[...] = sequence
    return Frame(slots.lend(slot), 8, sequence, 0, 0)


def test_ring_uploads_straight_from_camera_memory_that_it_has_locked(camera_slots: list[Slots]) -> None:
    device, present = PinningDevice(), [camera_slots[0]]
    ring = DeviceRing(device, 4, lambda: present[0].pinnable)
    for sequence in range(3):
        there = ring.upload(lend(camera_slots[0], sequence).pixels)
        assert there is not None
        assert isinstance(there.memory, HostMemory)
        assert (there.memory.view(np.uint8) == sequence).all()
    assert device.locked == [camera_slots[0].pinnable.ctypes.data]
    present[0] = camera_slots[1]  # the camera's window changed
    late = ring.upload(lend(camera_slots[0], 7).pixels)  # a frame of the old session, still on its way
    assert late is not None
    assert isinstance(late.memory, HostMemory)
    assert (late.memory.view(np.uint8) == 7).all()
    assert device.locked == [camera_slots[1].pinnable.ctypes.data]
    ring.close()
    assert device.locked == []


def test_ring_gives_the_camera_its_slots_back_once_they_are_on_the_device(camera_slots: list[Slots]) -> None:
    slots = camera_slots[0]
    ring = DeviceRing(PinningDevice(), 4, lambda: slots.pinnable)
    for sequence in range(50):  # more than the camera has slots
        assert ring.upload(lend(slots, sequence).pixels) is not None
    assert slots.free >= slots.layout.count - 2


def test_ring_keeps_a_camera_slot_taken_while_it_is_being_uploaded(camera_slots: list[Slots]) -> None:
    slots = camera_slots[0]
    device = PinningDevice()
    device.lazy = True
    ring = DeviceRing(device, 4, lambda: slots.pinnable)
    there = ring.upload(lend(slots, 5).pixels)
    gc.collect()
    assert there is not None
    assert slots.free == slots.layout.count - 1
    there.ready.synchronize()
    assert isinstance(there.memory, HostMemory)
    assert (there.memory.view(np.uint8) == 5).all()


def test_ring_whose_camera_memory_cannot_be_locked_copies_and_says_so_once(
    camera_slots: list[Slots], caplog: pytest.LogCaptureFixture
) -> None:
    device = PinningDevice()
    device.refuses = True
    ring = DeviceRing(device, 4, lambda: camera_slots[0].pinnable)
    with caplog.at_level(logging.WARNING):
        for sequence in range(3):
            there = ring.upload(lend(camera_slots[0], sequence).pixels)
            assert there is not None
            assert isinstance(there.memory, HostMemory)
            assert (there.memory.view(np.uint8) == sequence).all()
    assert len(caplog.records) == 1
