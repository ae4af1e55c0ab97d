"""Frames that a camera or its driver loses are counted once, by their reason."""

from __future__ import annotations

import os
import signal
from collections import Counter
from time import monotonic, sleep

import pytest
from qpi_live.camera.account import FrameAccount
from qpi_live.camera.genicam.frame_ids import GAP, INCOMPLETE, LATE, UNDERRUN

from tests.camera.genicam.reading import OpenVirtual, drain, losses_after, read, read_until


@pytest.mark.parametrize(
    ("fault", "reason"), [("FaultDropEvery", GAP), ("FaultIncompleteEvery", INCOMPLETE), ("FaultLateEvery", LATE)]
)
def test_losses_on_demand_are_counted_by_their_reason(open_virtual: OpenVirtual, fault: str, reason: str) -> None:
    camera = open_virtual(rate_hz=200)
    camera.set_feature(fault, 10)
    frames, losses = losses_after(camera, 100)
    ids = [frame.device_id or 0 for frame in frames]
    assert ids == sorted(ids)
    assert all(device_id % 10 != 9 for device_id in ids)
    # The last fault may still have been under way when the stream was stopped.
    assert losses[reason] >= len([device_id for device_id in range(ids[-1] - 1) if device_id % 10 == 9])
    assert sum(losses[other] for other in {GAP, INCOMPLETE, LATE} - {reason}) <= 1
    assert ids[-1] + 1 <= len(frames) + sum(losses.values()) - losses["stream stopped"]


def test_ids_of_16_bits_wrap_without_a_loss(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=100)
    camera.set_feature("FaultIdBits", "Bits16")
    camera.set_feature("FaultIdStart", 65530)
    frames, losses = losses_after(camera, 12)
    assert [frame.device_id for frame in frames] == [*range(65530, 65536), *range(1, 7)]
    assert GAP not in losses


def test_underruns_are_not_counted_again_after_a_pause(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=2000.0)
    camera.start()
    read(camera)
    losses = Counter(camera.take_losses())
    process = camera._link._process.pid  # type: ignore[union-attr]
    end = monotonic() + 10
    while not losses[UNDERRUN]:
        if monotonic() > end:
            pytest.skip("no buffer was ever missing: this machine reads faster than the camera can send")
        os.kill(process, signal.SIGSTOP)
        sleep(0.3)  # frames pile up, which the camera then sends in a burst
        os.kill(process, signal.SIGCONT)
        for _ in range(100):
            read(camera)
        losses += Counter(camera.take_losses())
    camera.pause()
    drain(camera)
    camera.take_losses()
    camera.set_feature("AcquisitionFrameRate", 50.0)
    camera.resume()
    frames = [read(camera) for _ in range(20)]
    camera.stop()
    losses = Counter(camera.take_losses())
    missing = (frames[-1].device_id or 0) + 1 - len(frames)
    assert losses[UNDERRUN] <= missing


def test_account_of_frames_read_and_lost_is_exact_and_complete(open_virtual: OpenVirtual) -> None:
    """Every id that the camera used up is accounted for, however it was lost."""
    camera = open_virtual(rate_hz=1000)
    for fault, every in (("FaultDropEvery", 7), ("FaultIncompleteEvery", 11), ("FaultLateEvery", 13)):
        camera.set_feature(fault, every)
    account, newest = FrameAccount(), 0
    camera.start()
    for _ in range(800):
        frame = read(camera)
        newest = frame.device_id or 0
        account.captured()
        account.delivered()
        for reason, frames in camera.take_losses().items():
            account.never_arrived(reason, frames)
        assert account.snapshot().is_exact
    camera.pause()
    for frame in drain(camera):
        newest = frame.device_id or 0
        account.captured()
        account.delivered()
    camera.stop()
    for reason, frames in camera.take_losses().items():
        account.never_arrived(reason, frames)
    snapshot = account.snapshot()
    assert snapshot.is_exact
    assert {GAP, INCOMPLETE, LATE} <= set(snapshot.dropped)
    assert snapshot.captured >= newest


def test_losses_are_not_told_again_after_a_pause(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=200)
    camera.set_feature("FaultDropEvery", 5)
    camera.start()
    read_until(camera, lambda: (read(camera).device_id or 0) > 55)
    camera.pause()
    drain(camera)
    told = Counter(camera.take_losses())
    assert told[GAP] >= 10
    camera.set_feature("FaultDropEvery", 0)
    camera.resume()
    assert not camera.take_losses().get(GAP)
    for _ in range(5):
        read(camera)
    assert not camera.take_losses().get(GAP)
