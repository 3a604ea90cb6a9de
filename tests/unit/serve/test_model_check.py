"""What a model from a stranger may hold: whatever is in an archive, nothing is written outside its folder."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inference
from container.serve import model_check
from container.serve.model_check import (
    Member,
    UnsafeModelError,
    check,
    check_arrays,
    members_of_folder,
    open_archive,
)

PARTS = st.sampled_from(
    ["model.json", "golden", "00.png", "..", ".", "", "/", "a.pkl", "b.PT", "code", "x\\..", "\n.py"]
)
NAMES = st.one_of(st.lists(PARTS, min_size=1, max_size=4).map("/".join), st.text(min_size=1, max_size=20))
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
LINKS = st.sampled_from(["/etc/passwd", "../../outside", "model.json"])


def pack(path: Path, members: list[tuple[str, bytes, str]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 3 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"abc"))
    return path


def unpack(path: Path, folder: Path) -> dict[str, int]:
    with open_archive(path) as archive:
        sizes = check(archive.members())
        archive.unpack(folder)
    return sizes


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


@given(st.lists(st.tuples(NAMES, KINDS, LINKS), max_size=6))
@settings(max_examples=100)
def test_an_archive_is_unpacked_whole_into_its_folder_or_not_at_all(members):
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "model")
        folder.mkdir()
        path = pack(Path(parent, "a.tar.gz"), members)
        try:
            sizes = unpack(path, folder)
        except (UnsafeModelError, OSError):  # OSError: a file where another member has a folder
            sizes = None
        files = below(folder)
        assert below(Path(parent)) == {"a.tar.gz", *(f"model/{name}" for name in files)}
        for name in files:
            assert (folder / name).is_file() and not (folder / name).is_symlink()
            assert (folder / name).suffix.lower() in model_check.TYPES
        if sizes is not None:
            assert files == sizes.keys()
            assert {kind for _, kind, _ in members} <= {tarfile.REGTYPE, tarfile.DIRTYPE}


@given(st.binary(max_size=2000), st.booleans(), st.data())
@settings(max_examples=100)
def test_damaged_archives_are_refused(garbage, is_packed, data):
    """Random bytes, packed or not, and an archive in which some bytes were changed."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "model")
        folder.mkdir()
        path = pack(Path(parent, "a.tar.gz"), [("model.json", tarfile.REGTYPE, ""), ("code", tarfile.DIRTYPE, "")])
        whole = bytearray(gzip.decompress(path.read_bytes()))
        place = data.draw(st.integers(0, 1024))
        whole[place : place + len(garbage)] = garbage
        path.write_bytes(gzip.compress(bytes(whole)) if is_packed else garbage)
        with contextlib.suppress(UnsafeModelError, OSError):
            unpack(path, folder)
        assert all(name == "a.tar.gz" or name.startswith("model/") for name in below(Path(parent)))


@given(NAMES)
def test_a_harmless_name_stays_within_the_folder(name):
    try:
        check([Member(name, "file", 1)], any_type=True)
    except UnsafeModelError:
        return
    assert PurePosixPath(os.path.normpath(f"/model/{name}")).is_relative_to("/model")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ([Member(f"{number}.txt", "file", 0) for number in range(1001)], "1000.txt"),
        ([Member("a.onnx", "file", 2**32), Member("b.onnx", "file", 1)], "b.onnx"),
        ([Member("a.onnx", "file", -1)], "a.onnx"),
        ([Member("weights.pkl", "file", 1)], r"weights\.pkl.*\.onnx"),
    ],
)
def test_too_much_or_of_no_known_type(members, named):
    with pytest.raises(UnsafeModelError, match=named):
        check(iter(members))


def test_a_bomb_is_refused_at_its_header(tmp_path):
    """It claims a terabyte: nothing of that is unpacked, in memory neither."""
    info = tarfile.TarInfo("a.onnx")
    info.size = 2**40
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(2**20)))
    with pytest.raises(UnsafeModelError, match=r"a\.onnx"):
        unpack(tmp_path / "a.tar.gz", tmp_path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_is_not_read_without_limit(tmp_path, kind):
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 2**36
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(2**22)))
    with pytest.raises(UnsafeModelError, match="header of"):
        unpack(tmp_path / "a.tar.gz", tmp_path)


def test_a_folder_with_links_and_pipes(tmp_path):
    (tmp_path / "golden").mkdir()
    (tmp_path / "model.json").write_text("{}")
    assert check(members_of_folder(tmp_path)) == {"model.json": 2}
    (tmp_path / "golden" / "00.png").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeModelError, match=r"golden/00\.png"):
        check(members_of_folder(tmp_path))
    (tmp_path / "golden" / "00.png").unlink()
    os.mkfifo(tmp_path / "encoder.onnx")
    with pytest.raises(UnsafeModelError, match=r"encoder\.onnx"):
        check(members_of_folder(tmp_path))


def test_arrays_that_unpack_to_much(tmp_path, monkeypatch):
    monkeypatch.setattr(model_check, "MAX_ARRAYS_MB", 1)
    with zipfile.ZipFile(tmp_path / "inputs.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(2**20))
    check_arrays(tmp_path)
    with zipfile.ZipFile(tmp_path / "inputs.npz", "a") as archive:
        archive.writestr("b.npy", b"1")
    with pytest.raises(UnsafeModelError, match=r"inputs\.npz.*1 MB"):
        check_arrays(tmp_path)
    (tmp_path / "inputs.npz").write_bytes(b"no archive")
    with pytest.raises(UnsafeModelError, match=r"inputs\.npz is no"):
        check_arrays(tmp_path)


# What only a reader of the files can refuse.


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_among_the_golden_samples_is_not_read(own_base_dir):
    model, sprung = own_base_dir / "model", own_base_dir / "sprung"
    trap: Any = np.array([Trap(sprung)], dtype=object)
    np.savez(model / "golden" / "inputs.npz", **dict.fromkeys(("00.png", "01.png", "02.png"), trap))
    assert check(members_of_folder(model))  # from outside it looks like any other
    with pytest.raises(inference.ModelError, match="golden samples"):
        inference.model_fn(str(model))
    assert not sprung.exists()


@pytest.mark.parametrize(("place", "is_read"), [("half.txt", True), ("../half.txt", False), ("/{}/half.txt", False)])
def test_a_network_has_its_weights_from_its_own_folder_only(own_base_dir, place, is_read):
    model = own_base_dir / "model"
    for folder in (model, own_base_dir):
        (folder / "half.txt").write_bytes(np.float32(2).tobytes())
    network = onnx.load(model / "encoder.onnx")
    (weight,) = [each for each in network.graph.initializer if each.name == "half_ink"]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=place.format(str(own_base_dir).strip("/")))
    weight.external_data.add(key="length", value="4")
    (model / "encoder.onnx").write_bytes(network.SerializeToString())
    if is_read:
        assert inference.Recognizer.load(model).check_golden() == 3
    else:
        with pytest.raises(Exception, match="External data path"):
            inference.Recognizer.load(model)
