"""Finds the model below /opt/ml/model, also where an archive holds it in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

MARKERS = ("model.json", "code/inference.py")  # our format; or a handler that knows what its model is
MAX_DEPTH = 3  # folders around the model
SHIPPED = Path(__file__).resolve().parents[2] / "weights"  # the project's own model, beside container/


class ModelNotFoundError(Exception):
    """No model, or several; the message says what is there and what would be right."""


def find_model_or_shipped(root: Path, shipped: Path = SHIPPED) -> Path:
    """`find_model`, or the shipped model where the user gave none at all: `root` is missing or empty.

    Raises:
        ModelNotFoundError: `root` holds something, but no model, or is a link to nowhere; or there is none that could
            stand in.
    """
    empty = root.is_dir() and os.access(root, os.R_OK) and not any(root.iterdir())
    none_given = empty or not os.path.lexists(root)
    return shipped if none_given and (shipped / MARKERS[0]).is_file() else find_model(root)


def find_model(root: Path) -> Path:
    """The folder that holds model.json (or at least code/inference.py): `root`, or the only such folder below it.

    Raises:
        ModelNotFoundError: none or several.
    """
    try:
        if root.is_file():
            raise ModelNotFoundError(
                f"{root} is a file: unpack it (tar -xzf {root.name} -C FOLDER) and name the folder"
            )
        if not root.is_dir():
            raise ModelNotFoundError(f"{root.resolve()} does not exist; mount or unpack a model there")
        next(root.iterdir(), None)
    except PermissionError:
        raise ModelNotFoundError(
            f"{root} can't be read by this user (id {os.geteuid()}); see its permissions"
        ) from None
    for marker in MARKERS:
        found = _shallowest(root, marker)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(str(folder.relative_to(root)) for folder in found)
            raise ModelNotFoundError(f"{root} holds several models ({names}); an endpoint serves one")
    raise ModelNotFoundError(f"{root} has no model.json. {_what_is_there(root)}")


def _shallowest(root: Path, marker: str) -> list[Path]:
    for depth in range(MAX_DEPTH + 1):
        found = sorted(path.parents[marker.count("/")] for path in root.glob("*/" * depth + marker))
        if found:
            return found
    return []


def _what_is_there(root: Path) -> str:
    names = sorted(str(path.relative_to(root)) for path in root.glob("*"))
    archives = [name for name in names if name.endswith((".tar.gz", ".tgz", ".tar", ".zip"))]
    if archives:
        return f"It holds an archive that was not unpacked: {archives[0]}. Unpack it there"
    listing = f"It holds {', '.join(names[:10])}" if names else "It is empty"
    return f"{listing}. Make the archive with: tar -C MODEL_DIR -czf model.tar.gz ."
