"""What every frame queue owes both of its threads, and that the account is exact whenever it is read."""

from collections.abc import Callable
from threading import Barrier, Event, Thread

import numpy as np
import pytest
from qpi_live.camera.account import AccountSnapshot, FrameAccount
from qpi_live.camera.device import DeviceUnavailable
from qpi_live.camera.frame import Frame
from qpi_live.camera.gpu.cuda_device import open_device
from qpi_live.camera.gpu.queue import GpuFrameQueue
from qpi_live.camera.queue import FrameQueue, HostFrameQueue

from tests.cuda_host.device import HostDevice


def _gpu(account: FrameAccount, capacity: int) -> FrameQueue:
    device = HostDevice()
    return GpuFrameQueue(lambda: device, account, capacity)


def _gpu_without_device(account: FrameAccount, capacity: int) -> FrameQueue:
    device = HostDevice()
    device.lose()
    return GpuFrameQueue(lambda: device, account, capacity)


def _cuda(account: FrameAccount, capacity: int) -> FrameQueue:
    try:
        open_device()
    except DeviceUnavailable as missing:
        pytest.skip(str(missing))
    return GpuFrameQueue(open_device, account, capacity)


# A queue joins the suite by its name and how it is made from an account and a capacity.
QUEUES: dict[str, Callable[[FrameAccount, int], FrameQueue]] = {
    "host": HostFrameQueue,
    "gpu": _gpu,
    "gpu, device lost": _gpu_without_device,
    "cuda": _cuda,
}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.gpu if name == "cuda" else ()) for name in QUEUES])
def make(request: pytest.FixtureRequest) -> Callable[[FrameAccount, int], FrameQueue]:
    return QUEUES[request.param]


def _frame(sequence: int) -> Frame:
    return Frame(np.full((16, 16), sequence % 256, np.uint8), 8, sequence, 0, 0)


def test_queue_gives_frames_in_order(make: Callable[[FrameAccount, int], FrameQueue]) -> None:
    queue = make(FrameAccount(), 3)
    for sequence in range(3):
        queue.put(_frame(sequence))
    got = [queue.get(0.0) for _ in range(4)]
    assert [frame and frame.sequence for frame in got] == [0, 1, 2, None]
    assert [int(frame.pixels[0, 0]) for frame in got if frame] == [0, 1, 2]


def test_queue_that_is_full_drops_the_oldest_and_counts_it(make: Callable[[FrameAccount, int], FrameQueue]) -> None:
    account = FrameAccount()
    queue = make(account, 2)
    for sequence in range(5):
        queue.put(_frame(sequence))
        assert account.snapshot().is_exact
    assert account.snapshot() == AccountSnapshot(5, 0, 2, {"queue full": 3})
    got = [queue.get(0.0), queue.get(0.0)]
    assert [frame and frame.sequence for frame in got] == [3, 4]


def test_queue_tells_whether_there_is_room(make: Callable[[FrameAccount, int], FrameQueue]) -> None:
    queue = make(FrameAccount(), 1)
    assert queue.wait_for_room(0.0)
    queue.put(_frame(0))
    assert not queue.wait_for_room(0.0)
    queue.get(0.0)
    assert queue.wait_for_room(0.0)


def test_queue_that_closes_wakes_a_waiting_reader(make: Callable[[FrameAccount, int], FrameQueue]) -> None:
    queue = make(FrameAccount(), 1)
    got: list[Frame | None] = []
    reader = Thread(target=lambda: got.append(queue.get(60.0)))
    reader.start()
    queue.close()
    reader.join(10)
    assert not reader.is_alive()
    assert got == [None]


def test_queue_that_closes_wakes_a_writer_that_waits_for_room(
    make: Callable[[FrameAccount, int], FrameQueue],
) -> None:
    queue = make(FrameAccount(), 1)
    queue.put(_frame(0))
    writer = Thread(target=queue.wait_for_room, args=(60.0,))
    writer.start()
    queue.close()
    writer.join(10)
    assert not writer.is_alive()


def test_queue_that_is_closed_drops_what_waits_and_what_comes(
    make: Callable[[FrameAccount, int], FrameQueue],
) -> None:
    account = FrameAccount()
    queue = make(account, 3)
    queue.put(_frame(0))
    queue.put(_frame(1))
    queue.close()
    queue.close()
    queue.put(_frame(2))
    assert queue.get(0.0) is None
    assert account.snapshot() == AccountSnapshot(3, 0, 0, {"queue closed": 3})


def test_queue_without_capacity_is_refused(make: Callable[[FrameAccount, int], FrameQueue]) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        make(FrameAccount(), 0)


def test_queue_under_load_keeps_the_account_exact_at_every_read(
    make: Callable[[FrameAccount, int], FrameQueue],
) -> None:
    frames = 3000
    account = FrameAccount()
    queue = make(account, 2)
    together = Barrier(3)
    done = Event()
    inexact: list[AccountSnapshot] = []
    sequences: list[int] = []

    def produce() -> None:
        together.wait()
        for sequence in range(frames):
            queue.put(_frame(sequence))
        done.set()

    def consume() -> None:
        together.wait()
        while (frame := queue.get(0.01)) is not None or not done.is_set():
            if frame is not None:
                sequences.append(frame.sequence)
                if frame.sequence % 7 == 0:
                    account.failed("every seventh")
                else:
                    account.delivered()

    def audit() -> None:
        together.wait()
        while not done.is_set():
            snapshot = account.snapshot()
            if not snapshot.is_exact:
                inexact.append(snapshot)

    threads = [Thread(target=work) for work in (produce, consume, audit)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    final = account.snapshot()
    assert inexact == []
    assert final.is_exact
    assert (final.captured, final.in_flight) == (frames, 0)
    assert sequences == sorted(set(sequences))
    assert final.delivered + final.failed.get("every seventh", 0) == len(sequences)
    assert final.dropped.get("queue full", 0) == frames - len(sequences)


def test_account_that_forgets_a_frame_is_not_exact() -> None:
    account = FrameAccount()
    account.captured()
    account.delivered()
    account.delivered()
    assert not account.snapshot().is_exact


def test_account_counts_frames_that_never_arrived_as_captured_and_dropped() -> None:
    account = FrameAccount()
    account.never_arrived("gap in the camera's ids", 4)
    assert account.snapshot() == AccountSnapshot(4, 0, 0, {"gap in the camera's ids": 4})
    assert account.snapshot().is_exact
