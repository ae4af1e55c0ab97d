"""The stream's message: out and in again, and what is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from qpi_live.service.wire import EngineField, FrameHeader, WireError, pack, unpack


def header(payload: np.ndarray, **changes: object) -> FrameHeader:
    fields: dict[str, object] = {
        "sequence": 7,
        "captured_ns": 1_795_382_315_832_070_582,
        "camera": "Präparat Ω",
        "layer": "phase",
        "shape": payload.shape,
        "dtype": payload.dtype.name,
        "unit": "rad",
        "bit_depth": 8,
        "engine": EngineField(name="fake", kind="fake", device="cpu", version="1"),
        "stages_ms": {"total": 12.5},
    }
    return FrameHeader.model_validate(fields | changes)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_message_unpacked_gives_the_same_header_and_array(dtype: str) -> None:
    payload = (np.arange(35).reshape(5, 7) * 3).astype(dtype)
    sent = header(payload)
    received = unpack(pack(lambda: sent, payload))
    assert received.header == sent
    assert received.payload.dtype == payload.dtype
    assert np.array_equal(received.payload, payload)
    assert not received.payload.flags.writeable


def test_message_of_a_strided_array_is_laid_out_in_c_order_on_a_multiple_of_16() -> None:
    payload = np.arange(48, dtype=np.float32).reshape(6, 8)[::2, ::-1]
    message = pack(lambda: header(payload), payload)
    magic, version, reserved, room, size = struct.unpack_from("<4sHHII", message)
    assert (magic, version, reserved, room % 16, size) == (b"QPIF", 1, 0, 0, payload.nbytes)
    assert bytes(message[16 + room :]) == payload.tobytes()


def test_header_is_asked_for_when_the_payload_is_in_place() -> None:
    payload = np.ones((2, 3), np.float32)
    asked = []
    pack(lambda: asked.append(payload.sum()) or header(payload), payload)
    assert asked == [6.0]


def test_header_beyond_its_usual_room_moves_the_payload_on() -> None:
    payload = np.arange(12, dtype=np.float32).reshape(3, 4)
    message = pack(lambda: header(payload, warning="x" * 5000), payload)
    assert struct.unpack_from("<I", message, 8)[0] % 16 == 0
    received = unpack(message)
    assert received.header.warning == "x" * 5000
    assert np.array_equal(received.payload, payload)


@pytest.mark.parametrize("cut", [0, 3, 15, 16, 100, -1])
def test_message_cut_short_is_refused(cut: int) -> None:
    payload = np.zeros((4, 4), np.float32)
    with pytest.raises(WireError, match="expected"):
        unpack(bytes(pack(lambda: header(payload), payload))[:cut])


@pytest.mark.parametrize(("offset", "byte"), [(0, 0), (4, 2), (20, 255)])
def test_message_with_a_damaged_start_is_refused(offset: int, byte: int) -> None:
    payload = np.zeros((4, 4), np.float32)
    message = pack(lambda: header(payload), payload)
    message[offset] = byte
    with pytest.raises(WireError, match="expected"):
        unpack(message)


@pytest.mark.parametrize("changes", [{"dtype": "object"}, {"dtype": "nonsense"}, {"shape": (4, 5)}, {"shape": (-1, 4)}])
def test_message_whose_header_does_not_fit_its_payload_is_refused(changes: dict[str, object]) -> None:
    payload = np.zeros((4, 4), np.float32)
    with pytest.raises(WireError, match="describes the payload"):
        unpack(pack(lambda: header(payload).model_copy(update=changes), payload))
