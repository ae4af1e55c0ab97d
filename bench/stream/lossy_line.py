"""A line that loses packets or is unplugged, with the kernel's own TCP at both ends; Linux, as root.

A network namespace is the far end. Each end has a network device whose packets come to this process (TUN), which hands
them to the other end, or does not.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from threading import Event, Thread
from types import TracebackType

if sys.platform == "linux":
    from fcntl import ioctl

_TUN = "/dev/net/tun"
_TUNSETIFF, _WITHOUT_HEADER = 0x400454CA, 0x1001  # <linux/if_tun.h>: IFF_TUN | IFF_NO_PI
_LARGEST_PACKET = 1 << 16
_NUMBERS = count()


class NoLine(OSError):
    """This machine cannot have such a line; says what it lacks."""


class LossyLine:
    """While open, an address of this machine and programs that reach it over the line.

    Args:
        loss: share of packets that get lost, each way, by chance.

    Attributes:
        near: this machine's address on the line.
        plugged: cleared while the cable is out.
        lost, passed: packets so far.
    """

    def __init__(self, loss: float, seed: int = 0) -> None:
        number = next(_NUMBERS)
        network = f"10.{100 + os.getpid() % 100}.{number % 250}"
        self.near, self._far = f"{network}.1", f"{network}.2"
        self.plugged = Event()
        self.plugged.set()
        self.lost = self.passed = 0
        self._loss, self._chance = loss, random.Random(seed)
        self._name = f"qpi-{os.getpid()}-{number}"
        self._ends: list[int] = []
        self._over = Event()
        self._forwarding = Thread(target=self._forward, daemon=True)

    def __enter__(self) -> LossyLine:
        """Lay the line; raises NoLine."""
        if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
            raise NoLine("a line that loses packets needs Linux, root and `ip`; on Debian: apt-get install iproute2")
        _ip("netns", "add", self._name)
        try:
            self._lay()
        except OSError as error:
            self._take_away()
            raise NoLine(f"a line that loses packets cannot be had here: {error}") from error
        self._forwarding.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the line away."""
        self._over.set()
        self._forwarding.join()
        self._take_away()

    def run(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start a program at the far end, whose words can be read."""
        return subprocess.Popen(["ip", "netns", "exec", self._name, *command], stdout=subprocess.PIPE, text=True)

    def _lay(self) -> None:
        devices = [f"qpin{self._name[4:]}"[:15], f"qpif{self._name[4:]}"[:15]]
        for name in devices:
            self._ends.append(_device(name))
        _ip("link", "set", "dev", devices[1], "netns", self._name)
        for end, device, address in (([], devices[0], self.near), (["-n", self._name], devices[1], self._far)):
            _ip(*end, "addr", "add", f"{address}/30", "dev", device)
            _ip(*end, "link", "set", "dev", device, "up")
        _ip("netns", "exec", self._name, "true")  # not every container may start programs there

    def _take_away(self) -> None:
        for end in self._ends:
            os.close(end)
        _ip("netns", "del", self._name)

    def _forward(self) -> None:
        other = dict(zip(self._ends, reversed(self._ends), strict=True))
        while not self._over.is_set():
            for end in select.select(self._ends, [], [], 0.1)[0]:
                packet = os.read(end, _LARGEST_PACKET)
                if not self.plugged.is_set() or self._chance.random() < self._loss:
                    self.lost += 1
                    continue
                self.passed += 1
                with suppress(OSError):  # not for us, such as what a device says to all when it comes up
                    os.write(other[end], packet)


def _device(name: str) -> int:
    end = os.open(_TUN, os.O_RDWR)
    ioctl(end, _TUNSETIFF, struct.pack("16sH", name.encode(), _WITHOUT_HEADER))
    return end


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise NoLine(f"`ip {' '.join(words)}`: {done.stderr.strip()}")
