"""Recognize many pictures (`make predict`): `python -m container.predict MODEL_DIR PICTURES --out answers.jsonl`.

PICTURES is a folder (searched with its subfolders), one picture, or a manifest: a path on each line, or JSON Lines
with "image"; its paths are relative to its own folder. The answers are the server's, from the same handler functions.

Every input gets a row `{"image": ..., "latex": ...}` or `{"image": ..., "error": {"code", "message"}}`, written as it
goes. After a kill the same command goes on: inputs that have a row are left out, half a last row is dropped. Memory
holds one chunk of pictures, and the names of those that were there before.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from container.serve import errors
from container.serve.errors import ServeError
from container.serve.handler import Call, Handler, Item, load_handler
from container.serve.model_location import ModelNotFoundError, find_model

HIDDEN = (".", "__MACOSX")
CHUNK = 16  # pictures in memory at a time
MAX_FILE_MB = 100
PICTURE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jfif", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".jp2"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
}
ROW_START = b'{"image": '
SECONDS_BETWEEN_LINES = 5.0
JSON = "application/json"


class PredictError(Exception):
    """The command can't begin or go on; the message says what to change."""


class Input(NamedTuple):
    """A picture by the name that its row has; one that can't even be named properly brings its error."""

    name: str
    path: Path
    error: ServeError | None = None


@dataclass
class Answered:
    """What an answers file holds already."""

    names: Counter[str] = field(default_factory=Counter)  # a manifest may name a picture twice
    versions: set[str] = field(default_factory=set)  # models that gave the answers
    failed: int = 0

    @property
    def hint(self) -> str:
        rows, them = ("its row", "it") if self.failed == 1 else ("their rows", "them")
        return f" ({self.failed} with an error: remove {rows} to have {them} tried again)" if self.failed else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 once every input has its row, 2 where that can't be, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    sys.dont_write_bytecode = True  # the model's code is imported, and its folder is not ours to write to
    try:
        predict(options.model_dir, options.pictures, options.out)
    except (PredictError, ModelNotFoundError, OSError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"predict: stopped; the same command goes on with {options.out}", file=sys.stderr)
        return 130
    return 0


def predict(model_dir: Path, pictures: Path, out: Path) -> None:
    """Appends a row to `out` for every input that has none yet.

    Raises:
        PredictError: no pictures; an `out` that holds something else, or another model's answers; a model that can't
            be used.
        ModelNotFoundError: no model in `model_dir`.
        OSError: `out` can't be written.
    """
    if out.exists() and pictures.exists() and out.samefile(pictures):
        raise PredictError(f"--out {out} is the list of pictures itself; choose another file")
    answered = read_answered(out)
    total, left = _count(list_inputs(pictures)), _count(_without(list_inputs(pictures), answered.names))
    if not total:
        raise PredictError(f"{pictures} has no pictures ({' '.join(sorted(PICTURE_SUFFIXES))})")
    handler = _load(model_dir)
    _check_version(handler, answered, out)
    others = _passed_over(pictures) if pictures.is_dir() else ""
    print(f"predict: {total} pictures, {total - left} of them answered before{answered.hint}{others}", file=sys.stderr)
    todo = _without(list_inputs(pictures), answered.names)
    failed = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file, Progress(left) as progress:
        while chunk := list(islice(todo, CHUNK)):
            rows = recognize(handler, chunk)
            file.write("".join(f"{json.dumps(row)}\n" for row in rows))
            file.flush()
            failed += sum("error" in row for row in rows)
            progress.advance(len(rows))
    print(f"predict: {left - failed} answers and {failed} errors added to {out}", file=sys.stderr)


# ---------------------------------------------------------------------------------------------------- inputs


def list_inputs(source: Path) -> Iterator[Input]:
    """The pictures of a folder by their paths below it, in order; or those that a manifest names.

    Raises:
        PredictError: there is no such folder or file, a folder in it can't be read, or the file is no list of paths.
    """
    if source.is_dir():
        yield from _in_folder(source)
    elif not source.is_file():
        raise PredictError(f"{source} does not exist; name a folder of pictures, a picture, or a list of paths")
    elif source.suffix.lower() in PICTURE_SUFFIXES:
        yield Input(source.name, source)
    elif _is_no_text(source):
        suffixes = " ".join(sorted(PICTURE_SUFFIXES))
        raise PredictError(f"{source} is neither a list of paths nor named as a picture ({suffixes})")
    else:
        with source.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            yield from (_manifest_input(line.strip(), source.parent) for line in lines if line.strip())


def _in_folder(root: Path) -> Iterator[Input]:
    for path in _files(root):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            yield Input(path.relative_to(root).as_posix(), path)


def _passed_over(source: Path) -> str:
    """What a folder has beside pictures, in words: photographs of a format that isn't read may be among it."""
    suffixes = Counter(path.suffix.lower() or "no suffix" for path in _files(source))
    others = {suffix: count for suffix, count in sorted(suffixes.items()) if suffix not in PICTURE_SUFFIXES}
    named = ", ".join(f"{count} {suffix}" for suffix, count in others.items())
    return f"; passed over, as not named as pictures: {named}" if named else ""


def _files(root: Path) -> Iterator[Path]:
    """All files of a folder and of those within, linked ones too, in order, but for hidden ones (macOS's `._a.png`)."""

    def refuse(error: OSError) -> None:
        raise PredictError(f"{error.filename} can't be read: {error.strerror}")

    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link that leads round in a circle
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith(HIDDEN))


def _is_no_text(path: Path) -> bool:
    """A PDF, or bytes of another kind: each of its lines would get a row. Names in a list needn't be UTF-8."""
    with path.open("rb") as file:
        head = file.read(4096)
    is_utf8 = "\ufffd" not in head.decode(errors="replace")
    return head.startswith(b"%PDF-") or (b"\0" in head and not is_utf8)


def _manifest_input(text: str, folder: Path) -> Input:
    if not text.startswith("{"):
        name = text.partition("\t")[0]  # of a labelled set's list, too
        return Input(name, _place(folder, name))
    try:
        image = json.loads(text).get("image")
    except (ValueError, RecursionError):
        image = None
    if isinstance(image, str) and image:
        return Input(image, _place(folder, image))
    return Input(text[:200], folder, ServeError(400, "invalid_manifest_line", 'expected a path or {"image": PATH}'))


def _place(folder: Path, name: str) -> Path:
    """Where a list's picture is: beside it, or in `images/` as a data set has it."""
    inside = folder / "images" / name
    with suppress(OSError):  # a name that is too long for a file; read later, it gets an error for a row
        if inside.is_file() and not (folder / name).is_file():
            return inside
    return folder / name


def _without(inputs: Iterable[Input], names: Counter[str]) -> Iterator[Input]:
    names = names.copy()
    for item in inputs:
        if names[item.name] > 0:
            names[item.name] -= 1
        else:
            yield item


def _count(inputs: Iterable[Input]) -> int:
    return sum(1 for _ in inputs)


# --------------------------------------------------------------------------------------------------- answers


def read_answered(out: Path) -> Answered:
    """What `out` holds; a last row that a kill cut off is removed from it.

    Raises:
        PredictError: it holds something else than answers. Nothing is removed then.
    """
    answered, end = Answered(), 0
    if not out.exists():
        return answered
    with out.open("r+b") as file:
        for number, line in enumerate(file, 1):
            try:
                if line[: len(ROW_START)] != ROW_START[: len(line)]:
                    raise ValueError("it begins differently")
                if not line.endswith(b"\n"):
                    break
                row = json.loads(line)
                answered.names[row["image"]] += 1
                answered.failed += "error" in row
            except (ValueError, TypeError):
                raise PredictError(f"{out}, line {number}, is no row of answers; choose another --out") from None
            if "model_version" in row:
                answered.versions.add(row["model_version"])
            end += len(line)
        file.truncate(end)
    return answered


def _check_version(handler: Handler, answered: Answered, out: Path) -> None:
    version = getattr(handler.model, "version", None)
    if others := answered.versions - {version}:
        raise PredictError(
            f"{out} has answers of the model {', '.join(others)}, this is {version}; choose another --out"
        )


def recognize(handler: Handler, inputs: Sequence[Input]) -> list[dict[str, Any]]:
    """A row for each input: its name with the answer that the server would give, or with the error."""
    answers = _together(handler, inputs) if handler.joins_requests else [_alone(handler, item) for item in inputs]
    return [{"image": item.name, **answer} for item, answer in zip(inputs, answers, strict=True)]


def _together(handler: Handler, inputs: Sequence[Input]) -> list[dict[str, Any]]:
    requests = [_attempt(lambda item: handler.decode(_call(item)), item) for item in inputs]
    items = [handler.items(request)[0] for request in requests if not isinstance(request, ServeError)]
    rows = iter(_predict(handler, items))
    answers = []
    for request in requests:
        row = request if isinstance(request, ServeError) else next(rows)
        failed = isinstance(row, ServeError)
        answers.append(row.to_dict() if failed else json.loads(handler.encode(request, [row], JSON).body))
    return answers


def _predict(handler: Handler, items: Sequence[Item]) -> list[Any]:
    """A row for each picture, or a ServeError where the model fails; tried with each alone if it fails for several."""
    if len(items) > 1:
        try:
            return list(handler.predict_items(items))
        except Exception:
            pass
    return [_attempt(lambda item: handler.predict_items([item])[0], item) for item in items]


def _alone(handler: Handler, item: Input) -> dict[str, Any]:
    """For functions that nothing is known about: their answer, parsed where it is JSON, as it is."""
    reply = _attempt(lambda item: handler.transform(_call(item)), item)
    if isinstance(reply, ServeError):
        return reply.to_dict()
    text = reply.body.decode("utf-8", "replace") if isinstance(reply.body, bytes) else reply.body
    try:
        return {"answer": json.loads(text)}
    except ValueError:
        return {"answer": text}


def _attempt(function: Callable[[Any], Any], argument: Any) -> Any:
    """What the function makes of its argument, or what it raises as an error for a row."""
    try:
        return function(argument)
    except Exception as error:
        return errors.from_exception(error) or ServeError(500, "recognition_failed", f"{type(error).__name__}: {error}")


def _call(item: Input) -> Call:
    """The picture's bytes as a request.

    Raises:
        ServeError: `file_not_found`, `unreadable_file`, `payload_too_large`, or the input's own.
    """
    if item.error:
        raise item.error
    try:
        if not item.path.is_file():
            raise ServeError(400, "file_not_found", f"{item.path} is no file")
        if item.path.stat().st_size > MAX_FILE_MB * 1024 * 1024:
            raise ServeError(413, "payload_too_large", f"{item.path} is over {MAX_FILE_MB} MB")
        data = item.path.read_bytes()
        if not data:
            raise ServeError(400, "unreadable_file", f"{item.path} is empty")
        return Call(data, "application/octet-stream", JSON)
    except (OSError, ValueError) as error:
        raise ServeError(400, "unreadable_file", f"{item.path} can't be read: {error}") from error


def _load(model_dir: Path) -> Handler:
    try:
        return load_handler(find_model(model_dir))
    except ModelNotFoundError:
        raise
    except (Exception, SystemExit) as error:
        raise PredictError(f"the model in {model_dir} can't be used: {error}") from error


# -------------------------------------------------------------------------------------------------- the shell


class Progress:
    """A bar on a terminal, a plain line now and then elsewhere; on the standard error stream."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._began = self._said = time.monotonic()
        self._bar = tqdm(total=total, unit="picture") if sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(count)
        elif self._done == self._total or now - self._said >= SECONDS_BETWEEN_LINES:
            self._said, rate = now, self._done / max(now - self._began, 1e-6)
            left = (self._total - self._done) / rate
            print(f"predict: {self._done}/{self._total}, {rate:.1f} pictures/s, {left:.0f} s left", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="python -m container.predict", description=summary, epilog=details)
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="folder with model.json")
    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="a folder, a picture or a manifest")
    parser.add_argument("--out", type=Path, required=True, help="the answers, JSON Lines; gone on with if it is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
