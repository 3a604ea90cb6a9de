"""A model.tar.gz, unpacked for the time being: what evaluating and going on from a model have in common."""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import inference


def opened(model: Path) -> AbstractContextManager[Path]:
    """A model directory as it is, an archive unpacked for the time being; raises as `unpacked` does."""
    return unpacked(model) if model.is_file() else nullcontext(model)


@contextmanager
def unpacked(archive: Path, matters: Callable[[tarfile.TarInfo], bool] = lambda member: True) -> Iterator[Path]:
    """Yields a folder with those of its members that matter, and removes it afterwards.

    Raises:
        inference.ModelError: it is no archive, or a damaged one.
    """
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, [member for member in tar if matters(member)], filter="data")
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            reason = str(error).partition("\n")[0].rstrip(":")  # tarfile tells what each way of compression met
            raise inference.ModelError(f"{archive} is no model archive: {reason}") from error
        yield Path(folder)
