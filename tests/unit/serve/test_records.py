"""Bodies of records in windows: the same records as if the whole body were split at once, whatever it is."""

from __future__ import annotations

import io
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.serve import bodies, errors, records

TEXT = st.text("ab \r\n", max_size=60).map(str.encode)


@given(TEXT, st.integers(1, 5))
def test_windows_are_the_lines_in_order(body, count):
    windows = list(records.windows(io.BytesIO(body), count))
    assert list(chain(*windows)) == [line for line in body.splitlines() if line.strip()]
    assert all(len(window) == count for window in windows[:-1]) and len(windows[-1]) <= count


def test_no_record_is_one_empty_window():
    assert list(records.windows(io.BytesIO(b" \n\n"), 8)) == [[]]


@given(st.lists(st.integers(1, 40), max_size=12), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_a_record_over_the_limit_is_none_in_its_place(lengths, end, ends):
    limit = 16
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "RECORD_BYTES", limit)
        patch.setattr(records, "WINDOW_BYTES", 3 * limit)
        body = end.join(b"x" * length for length in lengths) + (end if ends else b"")
        windows = list(records.windows(io.BytesIO(body), 8))
    assert [record and len(record) for record in chain(*windows)] == [
        length if length <= limit else None for length in lengths
    ]
    assert all(sum(map(len, filter(None, window))) < 4 * limit for window in windows)


class Full(io.BytesIO):
    def write(self, data):
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_said():
    with pytest.raises(errors.ServeError, match="No space left") as refused:
        bodies.read_into(Full(), io.BytesIO(b"x"), 1, 1)
    assert (refused.value.status, refused.value.code) == (503, "no_space")
    assert refused.value.retry_after


@pytest.mark.parametrize("size", [bodies.IN_MEMORY, bodies.IN_MEMORY + 1])
def test_a_body_comes_back_as_it_was(size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with bodies.spool() as sink:
        assert bodies.read_into(sink, io.BytesIO(body), size, 2) == size
        assert sink.read() == body
