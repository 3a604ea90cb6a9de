"""The tables of training: what their rows promise can be trained; a table is markdown; nobody trains twice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import jobs, processes, recognizers, sizes, switches
from recognizer.config import Hyperparameters
from recognizer.data.formats import Dataset, read_dataset
from recognizer.models import REGISTRY, build
from tests.support.tiny_dataset import write_tiny_dataset

TOKENS, MAX_TOKENS = 338, 200


def test_every_switch_is_a_hyperparameter_of_its_recognizer() -> None:
    named = [(recognizer, changed) for recognizer, _, changed in switches.SWITCHES.values()]
    of_fast = [*sizes.CHANGES.values(), *(changed for _, changed in switches.ADDED.values())]
    for recognizer, changed in [*named, *(("fast", changed) for changed in of_fast)]:
        Hyperparameters.from_strings({**jobs.SETTINGS, "recognizer": recognizer, **changed})


def test_the_recognizers_that_are_compared_are_alike_in_size() -> None:
    assert recognizers.WIDTHS.keys() <= REGISTRY.keys()
    sizes = {
        name: sum(weight.numel() for weight in build(name, TOKENS, MAX_TOKENS, {"width": width}).parameters())
        for name, width in recognizers.WIDTHS.items()
    }
    assert all(abs(size / sizes["fast"] - 1) < 0.05 for size in sizes.values()), sizes


def test_a_table_is_markdown() -> None:
    assert jobs.table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def no_pictures(folder: Path, *_: object) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    return folder


def test_a_job_that_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it said is read from its log; a stopped job has two lines of CPU time."""
    monkeypatch.setattr(jobs, "write_dataset", no_pictures)
    monkeypatch.setattr(jobs, "read_dataset", lambda _: Dataset([]))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("trained again"))
    options = jobs._parser("", str(tmp_path)).parse_args(["--minutes", "2"])
    rates = "".join(f"train:images_per_second={rate}; x\n" for rate in (10.0, 30.0, 99.0))

    def run(self: jobs.Jobs, base: Path, hyperparameters: dict[str, str]) -> None:
        (base / "model").mkdir()
        (base / "model" / "model.json").write_text("{}")
        (base / "log.txt").write_text(f"{rates}cpu_minutes=1.25;\ncpu_minutes=1.50;\n")

    with monkeypatch.context() as once:
        once.setattr(jobs.Jobs, "_run", run)
        jobs.Jobs(options).train("fast", {})
    job = tmp_path / "2-minutes-of-8000" / "fast"
    trained = jobs.Jobs(options).train("fast", {})

    assert (trained.model, trained.images_per_second, trained.cpu_minutes) == (job / "model", 30.0, 2.75)


@pytest.mark.parametrize("other", [["--hp", "threads=1"], ["--longest", "6"]])
def test_a_job_with_other_settings_is_not_taken_for_one_with_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: list[str]
) -> None:
    monkeypatch.setattr(jobs, "write_dataset", no_pictures)
    monkeypatch.setattr(jobs, "read_dataset", lambda _: Dataset([]))
    monkeypatch.setattr(jobs.Jobs, "_run", lambda self, base, _: (base / "log.txt").write_text("stopped"))
    parser = jobs._parser("", str(tmp_path))
    with pytest.raises(ValueError, match="stopped"):
        jobs.Jobs(parser.parse_args([])).train("fast", {})
    with pytest.raises(SystemExit, match=r"fast is of a job with other settings; .* choose another --out"):
        jobs.Jobs(parser.parse_args(other)).train("fast", {})


def test_long_formulas_are_neither_trained_on_nor_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path, *_: object) -> Path:
        (write_tiny_dataset(folder, 8) / "images").mkdir()
        for picture in folder.glob("*.png"):
            picture.rename(folder / "images" / picture.name)
        labels = folder / "gt.txt"
        labels.write_text(labels.read_text().replace("\n", " + 1\n", 3))
        return folder

    monkeypatch.setattr(jobs, "write_dataset", write)
    made = jobs.Jobs(jobs._parser("", str(tmp_path)).parse_args(["--longest", "3"]))
    for samples in (made.tests, read_dataset(made._data).samples):
        assert len(samples) == 5 and all(len(sample.tokens) == 3 and sample.load().size for sample in samples)


def test_a_mistake_is_told_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--hp", "nonsense", "--out", str(tmp_path)]
    assert jobs.main("", "", ["a"], lambda _: [], arguments) == 1
    assert "expected name=value" in capsys.readouterr().err


def test_the_rate_of_a_job_is_the_median_of_what_it_logged() -> None:
    log = "".join(f"train:loss=1.0; train:images_per_second={rate}; step=1;\n" for rate in (90.0, 10.5, 80.0))
    assert jobs.images_per_second(log) == 80.0
    with pytest.raises(ValueError, match=r"logged no train:images_per_second; the end of its log:\nkilled"):
        jobs.images_per_second("killed")


def test_a_process_for_each_core_is_asked_for_and_counted_by_the_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        asked.extend(command)
        return subprocess.CompletedProcess(command, 0, "train:images_per_second=100.0;\n")

    monkeypatch.setattr(processes.subprocess, "run", run)
    assert processes.formulas_an_hour(tmp_path, 2, 1.5) == 360_000
    assert {"batch_size=32", "threads=1", "sagemaker_mpi_num_of_processes_per_host=2", "max_minutes=1.5"} <= set(asked)
