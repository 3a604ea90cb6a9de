"""Decoded pictures have a bound for all requests together, and give their room back when nothing refers to them."""

from __future__ import annotations

import numpy as np
import pytest

from container.serve import picture_memory
from container.serve.errors import ServeError
from container.serve.picture_memory import PictureMemory
from inference import RequestError


def test_room_is_there_again_when_the_pictures_are_gone(monkeypatch):
    monkeypatch.setattr(picture_memory, "LIMIT_MB", 1)
    memory, picture = PictureMemory(), np.zeros((512, 1024, 3), np.uint8)
    memory.hold([np.zeros((512, 1024), np.uint8), RequestError(400, "undecodable_image", "no picture")])
    memory.check_room()  # the first of these is gone already
    memory.hold([picture])
    part = picture[:10]

    del picture
    with pytest.raises(ServeError, match="1 MB that are set aside"):
        memory.check_room()  # the part is of the whole
    del part
    memory.check_room()


def test_bodies_that_are_read_as_a_whole_have_their_part_of_the_room(monkeypatch):
    """64 requests of 25 MB each took 1.6 GB, and none was refused."""
    monkeypatch.setattr(picture_memory, "LIMIT_MB", 1)
    memory = PictureMemory()
    # One that is larger than the room is read while there is some.
    with memory.body(2**21), pytest.raises(ServeError, match="1 MB that are set aside"), memory.body(1):
        pass
    with memory.body(2**19), memory.body(2**19 - 1):
        memory.check_room()
