"""Half the size, the same answers; and never a smaller model that answers otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import inference
from recognizer.export import Trained, export
from recognizer.latex import Vocabulary
from recognizer.models import build
from recognizer.pack import main, pack
from recognizer.training.warmstart import read_start, take_over, token_axes
from tests.support.tiny_recognizer import SMALL, TOKENS


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    vocabulary, spec = Vocabulary.from_tokens(TOKENS), inference.PreprocessSpec()
    model = build("fast", len(vocabulary), 12, SMALL["fast"])
    picture = np.full((40, 120, 3), 255, np.uint8)
    picture[10:30, 20:26] = picture[18:22, 50:90] = 0
    export(Trained(model, "fast", SMALL["fast"], vocabulary, spec, 12), [picture], folder)
    return folder


def test_a_packed_model_is_half_as_large_and_reads_the_same(exported: Path, tmp_path: Path) -> None:
    pack(exported, tmp_path / "small")

    for name in ("encoder.onnx", "decoder.onnx", "weights.safetensors"):
        assert (tmp_path / "small" / name).stat().st_size < 0.75 * (exported / name).stat().st_size, name
    for precision in ("fp32", "int8"):
        assert inference.Recognizer.load(tmp_path / "small", precision=precision).check_golden() > 0
    assert not (tmp_path / "small" / "code").exists()


def test_networks_in_8_bits_are_packed_unless_they_then_read_otherwise(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether random weights do is chance, so their golden answers are refused once, and let through once."""

    checked: list[str] = []

    def read_otherwise(self: inference.Recognizer) -> int:
        checked.append(self.precision)
        if checked == ["fp32", "int8"]:
            raise inference.ModelError("golden sample 0 reads otherwise")
        return 1

    monkeypatch.setattr(inference.Recognizer, "check_golden", read_otherwise)
    pack(exported, tmp_path / "kept")
    assert checked == ["fp32", "int8", "int8"], "what was taken instead is tried as well"
    assert (tmp_path / "kept" / "encoder.int8.onnx").read_bytes() == (exported / "encoder.int8.onnx").read_bytes()

    monkeypatch.setattr(inference.Recognizer, "check_golden", lambda self: 1)
    pack(exported, tmp_path / "small")
    sizes = [(folder / "encoder.int8.onnx").stat().st_size for folder in (tmp_path / "small", exported)]
    assert sizes[0] < 0.8 * sizes[1]


def test_training_goes_on_from_a_packed_model(exported: Path, tmp_path: Path) -> None:
    pack(exported, tmp_path / "small")
    vocabulary = Vocabulary.from_tokens(TOKENS)
    model = build("fast", len(vocabulary), 12, SMALL["fast"])

    taken = take_over(
        read_start(tmp_path / "small", "fast"), model, vocabulary,
        token_axes(model, "fast", len(vocabulary), 12, SMALL["fast"]),
    )  # fmt: skip

    assert not taken.new and not taken.dropped
    assert all(weight.dtype == torch.float32 for weight in model.state_dict().values())


def test_a_folder_that_is_there_is_left_alone(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("precious")

    assert main([str(exported), str(tmp_path / "mine")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "precious"


def test_no_model_is_an_error_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "is no model directory" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
