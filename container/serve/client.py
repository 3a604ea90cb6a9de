"""Whether the client of a request still waits for its answer: what nobody reads need not be computed."""

from __future__ import annotations

import fcntl
import select
import socket
import termios
from array import array


def has_hung_up(connection: socket.socket) -> bool:
    """Whether the other side has closed: the connection is readable, yet has no byte. Takes none, and never waits.

    A client that closes only its sending side counts as gone, as with nginx: the two can't be told apart.
    """
    unread = array("i", [0])
    try:
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        if not poller.poll(0):
            return False
        fcntl.ioctl(connection, termios.FIONREAD, unread)
    except (OSError, ValueError):  # reset, or closed on this side
        return True
    return unread[0] == 0
