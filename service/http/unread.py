"""Bytes sent to a client that its kernel has not acknowledged yet."""

from __future__ import annotations

import struct
import sys
from typing import Any

if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

    def unread_bytes(connection: Any) -> int:
        """Bytes in the send queue, sent or not, that were not acknowledged; see tcp(7), SIOCOUTQ."""
        try:
            return int(struct.unpack("i", ioctl(connection.fileno(), TIOCOUTQ, bytes(4)))[0])
        except (OSError, ValueError, AttributeError):  # closed meanwhile, or no socket
            return 0

elif sys.platform == "darwin":
    from socket import SOL_SOCKET

    _SO_NWRITE = 0x1024  # <sys/socket.h>: bytes in the send buffer

    def unread_bytes(connection: Any) -> int:
        """Bytes in the send buffer that were not acknowledged."""
        try:
            return int(connection.getsockopt(SOL_SOCKET, _SO_NWRITE))
        except (OSError, AttributeError):
            return 0

else:

    def unread_bytes(connection: Any) -> int:
        """0: this system does not say; pongs and what is left to hand to the kernel have to do."""
        return 0
