"""What is given to others: its own answers unchanged, its figures true, and nothing of anybody's data in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

import inference
from recognizer.data.formats import read_dataset
from recognizer.evaluation.calibration import calibration_error, fit_calibration, reliability
from recognizer.evaluation.metrics import Result
from recognizer.evaluation.recognize import recognize
from recognizer.export import Trained, export
from recognizer.latex import Vocabulary
from recognizer.models import build
from recognizer.release import main
from tests.support.tiny_model import formula_picture
from tests.support.tiny_recognizer import SMALL, TOKENS


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a job leaves it: with a golden sample of the data, and the calibration of its validation."""
    folder = tmp_path_factory.mktemp("job") / "model"
    torch.manual_seed(0)
    vocabulary = Vocabulary.from_tokens(TOKENS)
    model = build("fast", len(vocabulary), 12, SMALL["fast"])
    spec, calibration = inference.PreprocessSpec(), {"slope": 3.0, "offset": -1.0}
    provenance = {"hyperparameters": {"init": "/home/me/model", "seed": 3}}
    whole = Trained(model, "fast", SMALL["fast"], vocabulary, spec, 12, {}, calibration, provenance)
    export(whole, [formula_picture(7)], folder)
    (folder / "history.jsonl").write_text('{"epoch": 1}\n')
    return folder


def write_set(folder: Path, model: Path, seeds: Sequence[int], right: int) -> Path:
    """Pictures, of which the first are labelled as the model reads them, the others with one token more."""
    folder.mkdir(parents=True)
    pictures = [formula_picture(seed) for seed in seeds]
    rows = []
    for number, answer in enumerate(inference.Recognizer.load(model).predict(pictures)):
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(pictures[number], cv2.COLOR_RGB2BGR))
        rows.append(f"{number}.png\t{' '.join(answer.tokens)}{'' if number < right else ' z'}\n")
    (folder / "gt.txt").write_text("".join(rows))
    return folder


@pytest.fixture(scope="module")
def labelled(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, four right."""
    return write_set(tmp_path_factory.mktemp("sets") / "dev", trained, range(6), 4)


@pytest.fixture(scope="module")
def other(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, one right."""
    return write_set(tmp_path_factory.mktemp("sets") / "other", trained, range(10, 13), 1)


@pytest.fixture(scope="module")
def released(trained: Path, labelled: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("released") / "new" / "model"
    arguments = [trained, out, "--calibrate", labelled, other, other, "--measure", f"dev={labelled}"]
    assert main(list(map(str, arguments))) == 0
    return out


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return found


def results(folder: Path, data: Path, precision: str = "fp32") -> list[Result]:
    model = inference.Recognizer.load(folder, threads=1, precision=precision)
    return recognize(model, read_dataset(data).samples, inference.Options()).results


def test_it_answers_as_the_job_s_model_does(trained: Path, released: Path) -> None:
    pictures = [formula_picture(seed) for seed in range(4)]
    models = [inference.Recognizer.load(folder) for folder in (trained, released)]
    first, second = ([answer.latex for answer in model.predict(pictures)] for model in models)
    assert first == second and any(first)


@pytest.mark.parametrize("precision", inference.NETWORKS)
def test_its_figures_are_those_of_the_released_networks(released: Path, labelled: Path, precision: str) -> None:
    told, read = described(released)["accuracy"][precision]["dev"], results(released, labelled, precision)
    assert told["exprate"] == sum(each.edits == 0 for each in read) / len(read)
    assert told["calibration_error"] == pytest.approx(calibration_error(reliability(read)))
    if precision == "fp32":
        assert told["exprate"] == pytest.approx(4 / 6)
        assert described(released)["metrics"] == {"dev_exprate": 0.667}


def test_it_is_calibrated_on_the_sets_as_often_as_they_are_named(
    released: Path, labelled: Path, other: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(released, plain)
    (plain / "model.json").write_text(json.dumps({**described(released), "calibration": None}))
    expected = fit_calibration([*results(plain, labelled), *results(plain, other), *results(plain, other)])
    assert described(released)["calibration"] == pytest.approx(expected)
    assert described(released)["provenance"]["calibration"] == ["dev", "other", "other"]


def test_what_is_the_job_s_own_stays_at_home(trained: Path, released: Path) -> None:
    golden = [{path.read_bytes() for path in (folder / "golden").glob("*.png")} for folder in (trained, released)]
    assert all(golden) and not golden[0] & golden[1]
    assert not (released / "code").exists()
    assert described(trained)["provenance"]["hyperparameters"] == {"init": "/home/me/model", "seed": 3}
    assert described(released)["provenance"]["hyperparameters"] == {"seed": 3}
    assert (released / "history.jsonl").read_text() == (trained / "history.jsonl").read_text()


def test_nothing_is_left_of_a_model_that_packing_changes(
    trained: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise inference.ModelError("golden sample 00.png differs")

    monkeypatch.setattr("recognizer.release.pack", refuse)
    assert main([str(trained), str(tmp_path / "out"), "--calibrate", str(labelled), "--measure", f"a={labelled}"]) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "missing"}, "missing has no model.json: name a model directory"),
        ({"out": "."}, ". is there already"),
        ({"set": "missing"}, "missing"),
    ],
)
def test_what_is_wrong_is_named(
    trained: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], changed: dict[str, str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = {"model": str(trained), "out": "released", "set": str(labelled), **changed}
    arguments = [given["model"], given["out"], "--calibrate", given["set"], "--measure", f"dev={given['set']}"]
    assert main(arguments) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_set_needs_a_name(trained: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(trained), "out", "--calibrate", str(labelled), "--measure", str(labelled)])
    assert "is not NAME=FOLDER" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(trained), "out", "--calibrate", str(labelled), "--measure", "a=b", "a=c"])
    assert "a is given twice" in capsys.readouterr().err


def test_a_broken_picture_stops_it_or_is_left_out_and_told(
    trained: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(labelled, broken)
    (broken / "5.png").write_bytes(b"no picture")
    arguments = [str(trained), str(tmp_path / "out"), "--calibrate", str(broken), "--measure", f"dev={broken}"]
    assert main(arguments) == 1
    assert "5.png" in capsys.readouterr().err
    assert main([*arguments, "--on-bad-sample", "skip"]) == 0
    assert "1 samples left out; the first: " in capsys.readouterr().out
    assert described(tmp_path / "out")["accuracy"]["fp32"]["dev"]["samples"] == 5
