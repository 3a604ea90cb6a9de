"""The mean of models: tokens by spelling, whatever their order, and what only one model has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from recognizer.average import main
from recognizer.latex import Vocabulary
from recognizer.model_dir import read_model
from tests.support.tiny_recognizer import write_start


def write_model(folder: Path, tokens: list[str], seed: int, name: str = "fast") -> Path:
    return write_start(folder, name, Vocabulary.from_labels([tokens]), seed)


def test_it_is_the_weighted_mean_with_tokens_matched_by_spelling(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", ["x", "x", "y", "new"], 1)
    second = write_model(tmp_path / "b", ["y", "y", "x", "old"], 2)
    assert main([f"{first}=0.25", f"{second}=0.75", "--out", str(tmp_path / "mean")]) == 0
    one, two, mean = (read_model(folder) for folder in (first, second, tmp_path / "mean"))
    assert mean.vocabulary.tokens == (*one.vocabulary.tokens, "old"), "none is lost, and the first's keep their ids"

    def row(start: object, token: str) -> torch.Tensor:
        return start.weights["decoder.output.weight"][start.vocabulary.encode([token])[0]]  # type: ignore[attr-defined]

    for token in ("x", "y"):
        torch.testing.assert_close(row(mean, token), 0.25 * row(one, token) + 0.75 * row(two, token))
    torch.testing.assert_close(row(mean, "new"), row(one, "new"))
    torch.testing.assert_close(row(mean, "old"), row(two, "old"))
    weights = [load_file(folder / "weights.safetensors")["norm.weight"] for folder in (first, second)]
    torch.testing.assert_close(mean.weights["norm.weight"], 0.25 * weights[0] + 0.75 * weights[1])
    told = json.loads((tmp_path / "mean" / "model.json").read_text())
    assert told["provenance"]["mean_of"] == {"fast-1": 0.25, "fast-2": 0.75}


def test_it_has_a_version_of_its_own_and_nothing_that_was_measured_of_the_first(tmp_path: Path) -> None:
    first, second = write_model(tmp_path / "a", ["x"], 1), write_model(tmp_path / "b", ["x"], 2)
    description = json.loads((first / "model.json").read_text())
    measured = {"calibration": {"slope": 1.0}, "metrics": {"exprate": 0.9}, "accuracy": {}}
    (first / "model.json").write_text(json.dumps(description | measured))
    for name, share in (("half", 1), ("more", 3)):
        assert main([f"{first}=1", f"{second}={share}", "--out", str(tmp_path / name)]) == 0
    half, more = (json.loads((tmp_path / name / "model.json").read_text()) for name in ("half", "more"))
    assert len({description["version"], half["version"], more["version"]}) == 3
    assert not measured.keys() & half.keys()


def test_tokens_that_nobody_wants_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_model(tmp_path / "a", ["x", "\\o", "y"], 1), write_model(tmp_path / "b", ["x", "y"], 2)
    mean = [f"{first}=0.5", f"{second}=0.5", "--out", str(tmp_path / "mean"), "--without"]
    assert main([*mean, "\\oo"]) == 1 and r"token '\\oo' can't be left out" in capsys.readouterr().err
    assert main([*mean, "<eos>"]) == 1 and not (tmp_path / "mean").exists()
    assert main([*mean, "\\o"]) == 0
    one, two, both = (read_model(folder) for folder in (first, second, tmp_path / "mean"))
    assert "\\o" in one.vocabulary and {*both.vocabulary.tokens} == {*two.vocabulary.tokens}
    y = [start.weights["decoder.output.weight"][start.vocabulary.encode(["y"])[0]] for start in (one, two, both)]
    torch.testing.assert_close(y[2], (y[0] + y[1]) / 2)


def test_a_coverage_that_only_one_model_has_is_its_own(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", ["x"], 1, "fast with coverage")
    second = shutil.copytree(first, tmp_path / "b")
    weights = load_file(second / "weights.safetensors")
    save_file(
        {name: 3 * each for name, each in weights.items() if "coverage" not in name}, second / "weights.safetensors"
    )
    description = json.loads((second / "model.json").read_text())
    description["recognizer"]["sizes"]["coverage"] = False
    (second / "model.json").write_text(json.dumps(description))
    assert main([f"{first}=0.5", f"{second}=0.5", "--out", str(tmp_path / "mean")]) == 0
    mean = read_model(tmp_path / "mean")
    assert mean.sizes["coverage"] is True
    for name, weight in mean.weights.items():
        torch.testing.assert_close(weight, weights[name] if "coverage" in name else 2 * weights[name])


def test_a_layer_that_only_the_first_has_counts_as_adding_nothing_in_the_others(tmp_path: Path) -> None:
    deep = read_model(write_model(tmp_path / "a", ["x"], 1, "fast with coverage"))
    plain = write_model(tmp_path / "b", ["x"], 2)
    description = json.loads((plain / "model.json").read_text())
    description["recognizer"]["sizes"]["coverage"] = True
    (plain / "model.json").write_text(json.dumps(description))
    assert main([f"{tmp_path / 'a'}=0.5", f"{plain}=0.5", "--out", str(tmp_path / "mean")]) == 0
    mean = read_model(tmp_path / "mean").weights
    last = "decoder.layers.2"  # `plain` has two
    for added in ("self_attention.out", "memory_attention.out", "mlp.3"):
        torch.testing.assert_close(mean[f"{last}.{added}.weight"], deep.weights[f"{last}.{added}.weight"] / 2)
    torch.testing.assert_close(mean[f"{last}.mlp.0.weight"], deep.weights[f"{last}.mlp.0.weight"])


def test_what_cannot_be_averaged_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, other = write_model(tmp_path / "a", ["x"], 1), write_model(tmp_path / "b", ["x"], 2, "satrn")
    assert main([f"{first}=1", f"{other}=1", "--out", str(tmp_path / "mean")]) == 1
    assert f"{other} isn't like the first model: recognizer is satrn, there fast" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(first), "--out", str(tmp_path / "mean")])
    assert "expected MODEL=SHARE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([f"{first}=inf", f"{other}=1", "--out", str(tmp_path / "mean")])
    assert "expected MODEL=SHARE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([f"{first}=0.5", f"{first}=0.2", "--out", str(tmp_path / "mean")])
    assert f"{first} is given twice" in capsys.readouterr().err


def test_models_of_other_limits_have_no_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first one's limit was taken without a word."""
    first, other = write_model(tmp_path / "a", ["x"], 1), write_model(tmp_path / "b", ["x"], 2)
    description = json.loads((other / "model.json").read_text())
    (other / "model.json").write_text(json.dumps(description | {"limits": {"max_tokens": 30}}))
    assert main([f"{first}=1", f"{other}=1", "--out", str(tmp_path / "mean")]) == 1
    assert f"{other} isn't like the first model: max_tokens is 30, there 20" in capsys.readouterr().err


def test_a_folder_that_is_there_is_not_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{tmp_path}=1", "--out", str(tmp_path)]) == 1
    assert f"error: {tmp_path} is there already; choose another folder" in capsys.readouterr().err
