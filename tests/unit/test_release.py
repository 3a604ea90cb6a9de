"""What is given to others: its own answers unchanged, its figures true, and nothing of anybody's data in it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import inference
from recognizer.data.formats import read_dataset
from recognizer.evaluation.calibration import calibration_error, reliability
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
    export(Trained(model, "fast", SMALL["fast"], vocabulary, spec, 12, {}, calibration), [formula_picture(7)], folder)
    return folder


@pytest.fixture(scope="module")
def labelled(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures; four are labelled as the model reads them."""
    folder = tmp_path_factory.mktemp("labelled")
    pictures = [formula_picture(seed) for seed in range(6)]
    rows = []
    for number, answer in enumerate(inference.Recognizer.load(trained).predict(pictures)):
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(pictures[number], cv2.COLOR_RGB2BGR))
        rows.append(f"{number}.png\t{' '.join(answer.tokens) or 'x'}{' z' if number > 3 else ''}\n")
    (folder / "gt.txt").write_text("".join(rows))
    return folder


@pytest.fixture(scope="module")
def released(trained: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("released") / "model"
    arguments = [trained, out, "--calibrate", labelled, labelled, "--measure", f"dev={labelled}"]
    assert main(list(map(str, arguments))) == 0
    return out


def test_it_answers_as_the_job_s_model_does(trained: Path, released: Path) -> None:
    pictures = [formula_picture(seed) for seed in range(4)]
    models = [inference.Recognizer.load(folder) for folder in (trained, released)]
    first, second = ([answer.latex for answer in model.predict(pictures)] for model in models)
    assert first == second


def test_its_figures_are_those_of_the_released_networks(released: Path, labelled: Path) -> None:
    described = json.loads((released / "model.json").read_text())
    samples = read_dataset(labelled).samples
    for precision in inference.NETWORKS:
        model = inference.Recognizer.load(released, precision=precision)
        results = recognize(model, samples, inference.Options()).results
        told = described["accuracy"][precision]["dev"]
        assert told["exprate"] == np.mean([each.edits == 0 for each in results])
        assert told["calibration_error"] == pytest.approx(calibration_error(reliability(results)), abs=1e-3)
    assert described["metrics"] == {"dev_exprate": round(described["accuracy"]["fp32"]["dev"]["exprate"], 3)}
    assert described["calibration"] != {"slope": 3.0, "offset": -1.0}


def test_the_job_s_pictures_stay_at_home(trained: Path, released: Path) -> None:
    golden = [{path.read_bytes() for path in (folder / "golden").glob("*.png")} for folder in (trained, released)]
    assert all(golden) and not golden[0] & golden[1]
    assert not (released / "code").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "missing"}, "missing has neither model.json nor"),
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
