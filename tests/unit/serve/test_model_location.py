"""Where a model may lie below /opt/ml/model, and what is said when there is none."""

from __future__ import annotations

import pytest

from container.serve.model_location import ModelNotFoundError, find_model, find_model_or_shipped


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_flat(tmp_path):
    put(tmp_path, "model.json", "encoder.onnx", "code/inference.py")
    assert find_model(tmp_path) == tmp_path


@pytest.mark.parametrize("folder", ["model", "export/best", "a/b/c"])
def test_nested(tmp_path, folder):
    put(tmp_path, f"{folder}/model.json", f"{folder}/code/inference.py", "._junk")
    assert find_model(tmp_path) == tmp_path / folder


def test_outermost_wins(tmp_path):
    put(tmp_path, "model.json", "checkpoints/old/model.json")
    assert find_model(tmp_path) == tmp_path


def test_handler_without_our_format(tmp_path):
    put(tmp_path, "weights.bin", "code/inference.py")
    assert find_model(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/model.json", "b/model.json"], r"several models \(a, b\)"),
        (["model.tar.gz"], "archive that was not unpacked: model.tar.gz"),
        (["saved.pt", "notes.txt"], "It holds notes.txt, saved.pt.*tar -C"),
        ([], "It is empty"),
        (["a/b/c/d/model.json"], "no model.json"),
    ],
)
def test_says_what_is_wrong(tmp_path, names, message):
    put(tmp_path, *names)
    with pytest.raises(ModelNotFoundError, match=message):
        find_model(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(ModelNotFoundError, match="does not exist"):
        find_model(tmp_path / "model")
    put(tmp_path, "model.tar.gz")
    with pytest.raises(ModelNotFoundError, match=r"is a file: unpack it \(tar -xzf model.tar.gz"):
        find_model(tmp_path / "model.tar.gz")


def test_the_shipped_model_stands_in_only_where_nothing_was_given(tmp_path):
    put(tmp_path, "shipped/model.json")
    (tmp_path / "empty").mkdir()
    for root in ("missing", "empty"):
        assert find_model_or_shipped(tmp_path / root, tmp_path / "shipped") == tmp_path / "shipped"
    put(tmp_path, "own/model.json", "broken/saved.pt")
    assert find_model_or_shipped(tmp_path / "own", tmp_path / "shipped") == tmp_path / "own"
    with pytest.raises(ModelNotFoundError, match=r"It holds saved\.pt"):
        find_model_or_shipped(tmp_path / "broken", tmp_path / "shipped")
    with pytest.raises(ModelNotFoundError, match="It is empty"):
        find_model_or_shipped(tmp_path / "empty", tmp_path / "none")


def test_a_link_to_nowhere_was_given_and_the_shipped_model_does_not_stand_in(tmp_path):
    put(tmp_path, "shipped/model.json")
    (tmp_path / "model").symlink_to(tmp_path / "moved away")
    with pytest.raises(ModelNotFoundError, match="moved away does not exist"):
        find_model_or_shipped(tmp_path / "model", tmp_path / "shipped")
