"""The audience: who watches, what each wants, and accounts that outlive their owners."""

from __future__ import annotations

from time import monotonic_ns, time_ns

import pytest
from qpi_live.camera.account import AccountSnapshot
from qpi_live.camera.frame import Frame
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import Layer
from qpi_live.service.viewing.audience import MOST_CLIENTS, Audience, AudienceFull, Choice, add_accounts, choose

from tests.fakes import FakeCamera, FakeEngine, fringes

SHAPE = (64, 80)


def quiet() -> None:
    """Nobody waits."""


def publish(hub: Hub, sequence: int) -> None:
    frame = Frame(fringes(SHAPE, sequence), 8, sequence, time_ns(), monotonic_ns())
    hub.publish(LiveFrame.timed(FakeEngine().retrieve(frame), FakeCamera().identity, monotonic_ns()))


def test_audience_clients_of_one_address_have_names_and_mailboxes_of_their_own() -> None:
    audience = Audience(Hub())
    first, second = (audience.join("::1", Choice(), quiet) for _ in range(2))
    assert first.name != second.name
    assert audience.present() == [first, second]


def test_audience_that_is_full_refuses_and_has_room_again_when_one_leaves() -> None:
    audience = Audience(Hub())
    clients = [audience.join("a", Choice(), quiet) for _ in range(MOST_CLIENTS)]
    with pytest.raises(AudienceFull, match=f"expected at most {MOST_CLIENTS} clients"):
        audience.join("a", Choice(), quiet)
    audience.leave(clients[0], "closed")
    audience.join("a", Choice(), quiet)
    assert len(audience.present()) == MOST_CLIENTS


def test_audience_total_never_falls_when_clients_leave() -> None:
    hub = Hub()
    audience = Audience(hub)
    first, second = audience.join("a", Choice(), quiet), audience.join("b", Choice(), quiet)
    for sequence in range(3):
        publish(hub, sequence)
    assert first.mailbox.take() is not None
    first.mailbox.account.delivered()
    before = audience.total()
    audience.leave(first, "closed")
    audience.leave(second, "too slow")
    after = audience.total()
    assert (before.captured, after.captured) == (6, 6)
    assert after == AccountSnapshot(6, 1, 0, {"superseded": 4, "unsubscribed": 1})
    assert after.is_exact
    assert audience.departed() == ({"closed": 1, "too slow": 1}, after)


def test_add_accounts_sums_reason_by_reason() -> None:
    a = AccountSnapshot(5, 1, 1, {"superseded": 2, "gap": 1})
    b = AccountSnapshot(4, 1, 0, {"superseded": 2}, {"send": 1})
    assert add_accounts(a, b) == AccountSnapshot(9, 2, 1, {"superseded": 4, "gap": 1}, {"send": 1})


def test_choose_changes_what_is_given_and_keeps_the_rest() -> None:
    before = Choice(layer=Layer.AMPLITUDE, max_fps=5, downscale=2)
    after = choose({"max_fps": 10, "beside": "wrapped"}, before, SHAPE)
    assert after == before.model_copy(update={"max_fps": 10.0, "beside": Layer.WRAPPED})
    assert after.layers == [Layer.AMPLITUDE, Layer.WRAPPED]
    assert [view.downscale for view in after.views] == [2, 2]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"layer": "phases"}, "layer: .*'phase'"),
        ({"lo": 3, "hi": 1}, "expected lo below hi, got 3.0 and 1.0"),
        ({"max_fps": float("nan")}, "max_fps"),
        ({"hi": float("inf")}, "hi"),
        ({"downscale": 65}, "downscale"),
        ({"zoom": 2}, "zoom"),
    ],
)
def test_choose_what_cannot_be_says_which_in_one_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        choose(given, Choice(), SHAPE)
    assert "\n" not in str(refused.value)
