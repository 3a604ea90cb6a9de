"""Unlike models decide together, token by token; and the ensemble is a model directory like any other."""

from __future__ import annotations

import importlib
import json
import math
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

import inference
from inference import Options, Recognizer
from recognizer.ensemble import main, write_ensemble
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_model import formula_picture, png

SHIPPED = Path(__file__).resolve().parents[2] / "weights"
PICTURES = [formula_picture(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def members(tiny_base_dir: Path) -> list[Path]:
    """Unlike in all: a transformer and arithmetic, with other tokens, characters of another height, another state."""
    return [SHIPPED, tiny_base_dir / "model"]


@pytest.fixture(scope="module")
def ensemble(members: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("ensemble") / "model"
    assert main([*map(str, members), "--out", str(folder)]) == 0
    return folder


def by_hand(members: list[Recognizer], rgb: np.ndarray) -> tuple[list[str], float]:
    """Greedy decoding of one picture, as slow as it is plain, and its probability."""
    shared = [token for token in members[0].tokens if all(token in one.tokens for one in members)]
    seen = [one.encode([inference.preprocess(rgb, one.spec)]) for one in members]
    pasts, memories = [past for past, _ in seen], [memory for _, memory in seen]
    said, total = ["<bos>"], 0.0
    while len(said) <= min(one.max_tokens for one in members) and said[-1] != "<eos>":
        chances = []
        for place, one in enumerate(members):
            token = np.array([one.tokens.index(said[-1])])
            logits, present = one.step(token, pasts[place], memories[place])
            pasts[place] = np.concatenate([pasts[place], present[None]])
            odds = np.exp(logits[0].astype(float))
            chances.append((odds / odds.sum())[[one.tokens.index(each) for each in shared]])
        mean = np.exp(np.mean(np.log(chances), axis=0))
        said.append(shared[int(mean.argmax())])
        total += math.log(mean.max() / mean.sum())
    return [token for token in said if token not in ("<pad>", "<bos>", "<eos>")], math.exp(total)


def test_each_step_is_the_mean_of_the_log_probabilities(members: list[Path], ensemble: Path) -> None:
    """Of tokens that all members know, in a batch, whatever the members' ids, inputs and states are."""
    model, alone = Recognizer.load(ensemble), [Recognizer.load(path) for path in members]
    answers = model.recognize([model.prepare(picture) for picture in PICTURES])
    for picture, answer in zip(PICTURES, answers, strict=True):
        tokens, confidence = by_hand(alone, picture)
        assert list(answer.tokens) == tokens
        assert answer.confidence == pytest.approx(confidence, rel=1e-2)
    assert set(model.tokens) == set(alone[0].tokens) & set(alone[1].tokens) < set(alone[0].tokens)


def test_one_model_twice_is_that_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every way to decode, and in 8 bits; only the calibration is left out."""
    twice, alone = write_ensemble([SHIPPED] * 2, tmp_path / "twice"), Recognizer.load(SHIPPED)
    alone.calibration = None
    for options in (Options(), Options(beam=4, n_best=3), Options(constrained=True, tokens=True)):
        for one, other in zip(alone.predict(PICTURES, options), twice.predict(PICTURES, options), strict=True):
            assert (one.latex, one.tokens) == (other.latex, other.tokens)
            assert one.confidence == pytest.approx(other.confidence, rel=1e-3)
            assert [each.latex for each in one.n_best] == [each.latex for each in other.n_best]
    assert [*twice.stream(PICTURES[0])][:-1] == [*alone.stream(PICTURES[0])][:-1]
    monkeypatch.setenv("SERVE_PRECISION", "int8")
    twice, alone = (inference.model_fn(str(path)) for path in (tmp_path / "twice", SHIPPED))
    assert [one.latex for one in twice.predict(PICTURES)] == [one.latex for one in alone.predict(PICTURES)]


def test_8_bits_are_left_out_where_a_member_has_none(ensemble: Path) -> None:
    assert (SHIPPED / "encoder.int8.onnx").is_file() and not any(ensemble.rglob("*.int8.onnx"))


def test_a_member_that_sees_other_pictures_than_at_its_birth_is_refused(ensemble: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(ensemble, tmp_path / "model"))
    file = model / "member-1" / "model.json"
    description = json.loads(file.read_text())
    description["preprocess"]["mean"] = 0.3
    file.write_text(json.dumps(description))
    with pytest.raises(inference.ModelError, match=r"golden sample 00\.png: the prepared input differs"):
        inference.model_fn(str(model))


def test_a_missing_member_is_refused_by_name(ensemble: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(ensemble, tmp_path / "model"))
    (model / "member-1" / "decoder.onnx").unlink()
    with pytest.raises(inference.ModelError, match=r"member-1 is no model directory: it has no decoder\.onnx"):
        Recognizer.load(model)


@pytest.mark.parametrize("names", [[], ["member-0"], "member-0", ["member-0", "../member-1"], ["member-0", 1]])
def test_members_are_two_names_of_sub_folders(ensemble: Path, tmp_path: Path, names: object) -> None:
    model = Path(shutil.copytree(ensemble, tmp_path / "model"))
    description = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**description, "members": names}))
    with pytest.raises(inference.ModelError, match=r"model\.json: members is .*, not a list of two sub-folders"):
        Recognizer.load(model)


def test_what_makes_no_ensemble_is_refused_and_nothing_is_left(
    members: list[Path], ensemble: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = str(members[0]), tmp_path / "out"
    for models, message in (
        ([one], "needs two models or more"),
        ([one, str(ensemble)], "is an ensemble itself; give its members"),
        ([one, str(tmp_path)], r"has no model.json"),
    ):
        assert main([*models, "--out", str(out)]) == 1
        assert message in capsys.readouterr().err
        assert not out.exists()
    assert main([one, one, "--out", str(tmp_path)]) == 1
    assert f"{tmp_path} is there already; choose another folder" in capsys.readouterr().err and tmp_path.is_dir()


def test_members_that_end_differently_are_refused(members: list[Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(members[0], tmp_path / "other"))
    description = json.loads((other / "model.json").read_text())
    description["vocabulary"]["tokens"][description["vocabulary"]["eos"]] = "</s>"
    (other / "model.json").write_text(json.dumps(description))
    with pytest.raises(inference.ModelError, match="begin, end and pad their answers with other tokens"):
        write_ensemble([members[0], other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_reads_without_the_project(ensemble: Path, tmp_path: Path) -> None:
    (tmp_path / "formula.png").write_bytes(png(PICTURES[0]))
    command = [sys.executable, "-I", str(ensemble / "code" / "inference.py"), str(ensemble), "formula.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    expected = inference.model_fn(str(ensemble)).predict([PICTURES[0]])[0].latex
    assert (done.returncode, done.stdout) == (0, f"formula.png\t{expected}\n"), done.stderr


def test_it_is_evaluated_like_any_model(ensemble: Path, tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data", 4)
    evaluate = importlib.import_module("evaluate")
    assert evaluate.main(["--model", str(ensemble), "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]["samples"] == 4


def test_models_without_a_common_token_are_refused(
    members: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All share what begins and ends an answer: theirs was always empty."""
    other = Path(shutil.copytree(members[1], tmp_path / "other"))
    description = json.loads((other / "model.json").read_text())
    tokens = description["vocabulary"]["tokens"]
    description["vocabulary"]["tokens"] = [each if each.startswith("<") else f"\\other{each}" for each in tokens]
    (other / "model.json").write_text(json.dumps(description))
    monkeypatch.setattr(inference, "model_fn", lambda folder: Recognizer.load(Path(folder)))  # its answers are others
    with pytest.raises(inference.ModelError, match="no token in common"):
        write_ensemble([members[1], other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_archives_are_members_too(members: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(members[1], arcname=".")
    assert main([str(members[1]), str(archive), "--out", str(tmp_path / "out")]) == 0
    count = len(Recognizer.load(members[1]).tokens) - 3
    assert f"of 2 members, {count} shared tokens" in capsys.readouterr().out, "without <pad>, <bos> and <eos>"
