"""Whoever looks at the newest frames on a thread of its own, beside the line, which never waits for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Event, Thread

from qpi_live.camera.account import AccountSnapshot, FrameAccount
from qpi_live.service.line.hub import Hub, Mailbox
from qpi_live.service.line.live import LiveFrame

_POLL_S = 0.2  # how soon the thread notices that it should stop


class BesideLine(ABC):
    """A thread that takes the hub's newest frame, again and again. Frames that come meanwhile are not waited for.

    Args:
        name: the subscriber's, and the thread's.
        hub: where the frames come from.
    """

    def __init__(self, name: str, hub: Hub) -> None:
        self._name, self._hub = name, hub
        self._mailbox: Mailbox[LiveFrame] = hub.subscribe(name)
        self._stop = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def _take(self, live: LiveFrame, account: FrameAccount) -> float:
        """Do what there is to do with a frame, and count it in `account` as delivered, dropped or failed.

        Returns:
            For how many seconds the thread then leaves the cores to others.
        """

    def _end(self) -> None:  # noqa: B027 - not everyone has something to let go of
        """Called as the thread ends."""

    @property
    def account(self) -> AccountSnapshot:
        """What became of the frames it was offered."""
        return self._mailbox.account.snapshot()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End. Doing it twice is harmless."""
        self._stop.set()
        self._hub.unsubscribe(self._name)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            live = self._mailbox.wait(_POLL_S)
            if live is None:
                continue
            rest_s = self._take(live, self._mailbox.account)
            del live  # or it would be held until the next one comes
            self._stop.wait(rest_s)
        self._end()
