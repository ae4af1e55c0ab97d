"""Hands each new phase frame to everyone who wants it, without waiting for any of them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Lock
from typing import Generic, TypeVar

from qpi_live.camera.account import FrameAccount
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.tap import Taps

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Room for one item; a newer one replaces it, counted. One reader; any thread may write.

    Args:
        on_arrival: called, without any lock held and from the writer's thread, whenever something came in or the
            box was closed; it must not block.
    """

    def __init__(self, on_arrival: Callable[[], None] | None = None) -> None:
        self.account = FrameAccount()
        self._on_arrival = on_arrival
        self._changed = Condition()
        self._item: Item | None = None
        self._closed = False

    def offer(self, item: Item) -> None:
        """Put an item in, in place of one nobody took yet; a closed box takes nothing and counts nothing."""
        with self._changed:
            if self._closed:
                return
            self.account.captured()
            if self._item is not None:
                self.account.dropped("superseded")
            self._item = item
            self._changed.notify()
        if self._on_arrival is not None:
            self._on_arrival()

    def take(self) -> Item | None:
        """The item, now in flight with the caller, who counts it as delivered, dropped or failed; None if empty."""
        with self._changed:
            item, self._item = self._item, None
            return item

    def wait(self, timeout_s: float) -> Item | None:
        """Like `take`, waiting up to `timeout_s` for an item. For readers that are threads."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Take no more; an item nobody took counts as dropped."""
        with self._changed:
            self._closed = True
            if self._item is not None:
                self._item = None
                self.account.dropped("unsubscribed")
            self._changed.notify()
        if self._on_arrival is not None:
            self._on_arrival()


class Hub:
    """Keeps the newest live frame and gives it to every subscriber's mailbox. Safe to use from any thread.

    Attributes:
        taps: give every live frame to whoever must not miss one.
    """

    def __init__(self) -> None:
        self.taps: Taps[LiveFrame] = Taps()
        self._lock = Lock()
        self._mailboxes: dict[str, Mailbox[LiveFrame]] = {}
        self._latest: LiveFrame | None = None

    @property
    def latest(self) -> LiveFrame | None:
        """The newest frame published, or None before the first."""
        return self._latest

    def publish(self, live: LiveFrame) -> None:
        """Hand `live` to every subscriber at once."""
        with self._lock:
            self._latest = live
            mailboxes = list(self._mailboxes.values())
        for mailbox in mailboxes:
            mailbox.offer(live)
        self.taps.offer(live)

    def subscribe(self, name: str, on_arrival: Callable[[], None] | None = None) -> Mailbox[LiveFrame]:
        """A mailbox of one's own under a name nobody else has; close it through `unsubscribe`.

        The newest frame, where there is one, lies in it from the start: a stream that stands still shows where.
        """
        mailbox: Mailbox[LiveFrame] = Mailbox(on_arrival)
        with self._lock:
            if name in self._mailboxes:
                raise ValueError(f"expected a subscriber's name that is free, got {name!r}")
            self._mailboxes[name] = mailbox
            # Inside the lock: a frame published meanwhile must come after this one.
            if self._latest is not None:
                mailbox.offer(self._latest)
        return mailbox

    def unsubscribe(self, name: str) -> None:
        """Close the mailbox called `name`; unknown names are ignored."""
        with self._lock:
            mailbox = self._mailboxes.pop(name, None)
        if mailbox is not None:
            mailbox.close()

    def subscribers(self) -> dict[str, Mailbox[LiveFrame]]:
        """Who listens now, by name."""
        with self._lock:
            return dict(self._mailboxes)
