"""A client's connection: its request is collected without a thread, and has one deadline from its first byte on.

So slow clients cost memory, a little, and not the threads that /ping and others need. Only what is left of a body that
is too large to be held here, or one of unknown length, is read by a thread: those are counted (gunicorn_server.py).
"""

from __future__ import annotations

import math
import re
import select
import socket
import time
from enum import Enum, auto
from typing import Any

from gunicorn.workers.gthread import TConn

HELD_BYTES = 128 * 1024  # of a request, head and body: most pictures of one formula; times 1,000 connections it fits
PIECE = 64 * 1024
PAUSE_SECONDS = 20  # longest that a client may pause where a thread waits for it, to send or to take an answer
# A body that a thread reads has so long, and longer by what has come of it at this rate, as there is room for few
# (Apache's MinRate, https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html). At half the rate 160 KB still arrive.
GRACE_SECONDS = 10
LEAST_RATE = 16 * 1024  # bytes a second
HEAD_END = re.compile(rb"\n\r?\n")
LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
NOT_YET = re.compile(rb"^(transfer-encoding|expect)[ \t]*:", re.IGNORECASE | re.MULTILINE)


class Socket(socket.socket):
    """A socket at which no thread waits for long, whatever the client does."""

    began = math.inf  # time.monotonic(), when the request came, its first byte, that arrives or is answered
    deadline = math.inf  # time.monotonic(), by which it has to
    slowest = math.inf  # time.monotonic(), when what has come of a body has come too slowly; later with each byte

    def receive_now(self) -> bytes:
        """For the main loop. Raises: BlockingIOError: there is nothing."""
        self.setblocking(False)
        return super().recv(PIECE)

    def recv(self, *arguments: Any) -> bytes:
        """For gunicorn's parser. Raises: TimeoutError."""
        if (left := min(self.deadline, self.slowest) - time.monotonic()) <= 0:
            raise TimeoutError
        self.settimeout(min(left, PAUSE_SECONDS))
        piece = super().recv(*arguments)
        self.slowest += len(piece) / LEAST_RATE
        return piece

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(PAUSE_SECONDS)
        super().sendall(*arguments)


class Arrived(Enum):
    """How much of a request is there."""

    PART = auto()
    WHOLE = auto()
    START = auto()  # of a request that can't be held here
    TOO_LONG = auto()  # a head without an end


class Connection(TConn):
    """gunicorn's connection, and what has arrived of its next request."""

    sock: Socket

    def __init__(self, cfg: Any, client: socket.socket, address: Any, server: Any) -> None:
        super().__init__(cfg, Socket(client.family, client.type, client.proto, client.detach()), address, server)
        self.opened = self.waits_since = time.monotonic()
        self.data_ready = True  # no thread is to wait for it
        self.received = bytearray()
        self.is_ended = False  # the client sends no more
        self._searched = 0  # bytes of `received` without the head's end
        self._size = math.nan  # of the request, once its head is there

    def receive(self) -> bool:
        """Takes what is there; returns whether there was something, be it the end."""
        try:
            piece = self.sock.receive_now()
        except BlockingIOError:
            return False
        except OSError:  # reset
            piece = b""
        self.received += piece
        self.is_ended = not piece
        return True

    def takes_answer(self) -> bool:
        """Whether a short answer can be sent without waiting: not to a client that asks on and on and never reads."""
        poller = select.poll()
        poller.register(self.sock, select.POLLOUT)
        return bool(poller.poll(0))

    def arrived(self) -> Arrived:
        if self.is_ended:
            return Arrived.WHOLE  # as far as it ever will be
        if math.isnan(self._size):
            end = HEAD_END.search(self.received, max(0, self._searched - 2))
            self._searched = len(self.received)
            if not end:
                return Arrived.TOO_LONG if self._searched > HELD_BYTES else Arrived.PART
            self._size = end.end() + body_size(bytes(self.received[: end.end()]))
        if len(self.received) >= self._size:
            return Arrived.WHOLE
        return Arrived.START if len(self.received) >= HELD_BYTES or self._size == math.inf else Arrived.PART

    def init(self) -> None:
        """Called before each request is parsed: hands over what has arrived."""
        super().init()
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()
        self._searched, self._size = 0, math.nan

    def take_back(self) -> None:
        """What the parser has read beyond its request belongs to the next one."""
        self.received += self.parser.unreader.take_buffered()


def body_size(head: bytes) -> float:
    """Bytes of the body to come; infinite if the head doesn't say, or its client waits for a word of ours first.

    gunicorn's parser, which sees the head next, decides what is valid; here it matters only that it needn't wait.
    """
    if NOT_YET.search(head):
        return math.inf
    return float(length[1]) if (length := LENGTH.search(head)) else 0
