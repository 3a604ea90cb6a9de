"""evaluate.py from the shell's side: a model and a folder in; metrics, predictions and a report out."""

import json
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

import evaluate
import inference
from recognizer.synth.contact_sheet import CELL_WIDTH
from tests.support.tiny_model import build_tiny_model, formula_picture

RIGHT, PICTURES = 3, 5


@pytest.fixture
def model(tmp_path):
    return build_tiny_model(tmp_path / "model")


@pytest.fixture
def data(tmp_path, model):
    """Five pictures; three are labelled with what the model says, two with one token more."""
    folder = tmp_path / "data"
    folder.mkdir()
    pictures = [formula_picture(seed) for seed in range(PICTURES)]
    rows = []
    for number, prediction in enumerate(inference.Recognizer.load(model).predict(pictures)):
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(pictures[number], cv2.COLOR_RGB2BGR))
        label = " ".join(prediction.tokens) + ("" if number < RIGHT else " z")
        rows.append(f"{number}.png\t{label}\n")
    (folder / "gt.txt").write_text("".join(rows))
    (folder / "source.txt").write_text("".join(f"{number}.png\t{number % 2}\n" for number in range(PICTURES)))
    return folder


def run(model, data, out, *more):
    return evaluate.main(["--model", str(model), "--data", str(data), "--out", str(out), *more])


def test_pictures_are_read_with_the_options_of_a_request(model, data, tmp_path, monkeypatch, capsys):
    seen = []
    predict = inference.Recognizer.predict

    def watched(self, pictures, options):
        seen.append(options)
        return predict(self, pictures, options)

    monkeypatch.setattr(inference.Recognizer, "predict", watched)
    assert run(model, data, tmp_path / "out", "--options", "beam=2, views=1") == 0
    assert set(seen) == {inference.Options(beam=2, views=1)}
    assert "beam=2, views=1" in (tmp_path / "out" / "report.html").read_text()
    assert run(model, data, tmp_path / "out", "--options", "beam=99") == 1
    assert "beam is '99', not a whole number from 1 to 8" in capsys.readouterr().err


def test_measures_and_reports(model, data, tmp_path, capsys):
    assert run(model, data, tmp_path / "out") == 0
    summary = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert summary["metrics"]["samples"] == PICTURES
    assert summary["metrics"]["exprate"] == pytest.approx(RIGHT / PICTURES)
    assert summary["metrics"]["within_1"] == 1
    assert summary["metrics"]["renders_same"] == pytest.approx(RIGHT / PICTURES)
    assert 0 <= summary["calibration"]["error"] <= 1
    assert sum(each["samples"] for each in summary["calibration"]["bins"]) == PICTURES
    assert set(summary["slices"]["source"]) == {"printed", "handwritten"}
    assert all(0 <= each["calibration_error"] <= 1 for each in summary["slices"]["source"].values())
    assert "calibration_error" not in summary["metrics"], "it has a place of its own"
    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [row["edits"] for row in rows] == [0, 0, 0, 1, 1]
    told = capsys.readouterr().out
    assert "evaluation:exprate=0.600000;" in told
    assert "exactly right by source: handwritten 50.0% of 2, printed 66.7% of 3\n" in told
    assert "3.png" in (tmp_path / "out" / "report.html").read_text()
    sheet = cv2.imread(str(tmp_path / "out" / "answers.png"))
    assert sheet is not None and sheet.shape[1] == 3 * CELL_WIDTH, "three pictures in a row, the answers below them"


@pytest.mark.parametrize(("seconds", "told"), [(0.008, "125.0 pictures"), (2.5, "0.4 pictures")])
def test_the_speed_is_a_plain_number(model, data, tmp_path, monkeypatch, seconds, told):
    measure = evaluate.recognize
    monkeypatch.setattr(evaluate, "recognize", lambda *a, **k: replace(measure(*a, **k), seconds_per_picture=seconds))
    assert run(model, data, tmp_path / "out") == 0
    assert told in (tmp_path / "out" / "report.html").read_text()


def test_L2_accuracy_is_told_by_size(model, data, tmp_path):
    """One picture is four times as large as the others."""
    large = np.kron(inference.read_image((data / "0.png").read_bytes()), np.ones((4, 4, 1), np.uint8))
    cv2.imwrite(str(data / "0.png"), large)
    assert run(model, data, tmp_path / "out") == 0
    summary = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for side in ("height (pixels)", "width (pixels)"):
        buckets = summary["slices"][side].values()
        assert sorted(bucket["samples"] for bucket in buckets) == [1, PICTURES - 1]
        right = sum(bucket["samples"] * bucket["exprate"] for bucket in buckets)
        assert right == pytest.approx(summary["metrics"]["exprate"] * PICTURES) and right >= RIGHT - 1


def test_an_archive_is_measured_like_its_folder(model, data, tmp_path):
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(model, arcname=".")
    for name, path in (("a", model), ("b", tmp_path / "model.tar.gz")):
        assert run(path, data, tmp_path / name) == 0
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text())["metrics"] for name in "ab")
    assert first == second


def test_learning_curves_and_limit(model, data, tmp_path):
    history = tmp_path / "history.jsonl"
    history.write_text('{"epoch": 1, "loss": 2}\n{"epoch": 2, "loss": 1}\n')
    assert run(model, data, tmp_path / "out", "--history", str(history), "--limit", "2") == 0
    assert "Learning curves" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]["samples"] == 2


def test_the_model_brings_its_learning_curves(model, data, tmp_path):
    (model / "history.jsonl").write_text('{"epoch": 1, "loss": 2}\n{"epoch": 2, "loss": 1}\n')
    assert run(model, data, tmp_path / "out") == 0
    assert "Learning curves" in (tmp_path / "out" / "report.html").read_text()


def test_progress_has_a_rate_and_an_end(model, data, tmp_path, capsys):
    assert run(model, data, tmp_path / "out") == 0
    assert f"recognize: {PICTURES}/{PICTURES} (100 %)" in (line := capsys.readouterr().err)
    assert "pictures/s, 0 s left" in line


def test_a_damaged_picture_is_named_or_left_out(model, data, tmp_path, capsys):
    path = data / "1.png"
    path.write_bytes(path.read_bytes()[:200])
    assert run(model, data, tmp_path / "out") == 1
    assert "gt.txt:2: the picture '1.png' can't be read" in capsys.readouterr().err
    assert run(model, data, tmp_path / "out", "--on-bad-sample", "skip") == 0
    summary = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert summary["metrics"]["samples"] == PICTURES - 1 and len(summary["skipped"]) == 1
    said = capsys.readouterr().out
    assert "left out: gt.txt:2: the picture '1.png' can't be read" in said
    assert f"model: {model.name}, version " in said


def test_no_picture_of_answers_is_written_where_none_is_wanted(model, data, tmp_path):
    assert run(model, data, tmp_path / "out", "--shown", "0") == 0
    assert {"metrics.json", "report.html"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert not (tmp_path / "out" / "answers.png").exists()


def test_the_folder_where_one_stands_has_a_name(model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data)
    assert run(model, ".", tmp_path / "out", "--limit", "1") == 0
    assert f"<td>{data.name}: 1 samples measured" in (tmp_path / "out" / "report.html").read_text()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(model, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "recognize", lambda *_, **__: pytest.fail("it has read"))
    assert run(model, data, data / "gt.txt") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "gt.txt" in error


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_is_a_number_of_samples(model, data, tmp_path, capsys, limit):
    with pytest.raises(SystemExit):
        run(model, data, tmp_path / "out", "--limit", limit)
    assert f"--limit: expected a whole number from 1, got '{limit}'" in capsys.readouterr().err


def test_errors_are_one_line(model, data, tmp_path, capsys):
    broken, cut, no_history = tmp_path / "broken.tar.gz", tmp_path / "cut.tar.gz", tmp_path / "text.jsonl"
    broken.write_bytes(b"nothing")
    with tarfile.open(cut, "w:gz") as archive:
        archive.add(model, arcname=".")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    no_history.write_text("nothing")
    for arguments, expected in (
        ((tmp_path / "absent", data), "no model.json"),
        ((broken, data), "no model archive"),
        ((cut, data), "no model archive"),
        ((model, tmp_path / "absent"), "no such folder"),
        ((model, data, "--history", str(no_history)), "no training history"),
    ):
        first, second, *more = arguments
        assert run(first, second, tmp_path / "out", *more) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ") and expected in error and "Traceback" not in error
