"""`python -m container.local_job`: the job folder, what it refuses, and a whole job without an engine."""

import errno
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from container import local_job

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "gt.txt").write_text("a.png\tx\n")
    return folder


def test_layout_is_that_of_opt_ml_with_hyperparameters_as_text(tmp_path, data):
    base = local_job.lay_out(
        tmp_path / "ml", local_job.parse_hyperparameters(["epochs=3", "note=a=b"]), {"train": data}
    )
    config = base / "input/config"
    assert json.loads((config / "hyperparameters.json").read_text()) == {"epochs": "3", "note": "a=b"}
    assert list(json.loads((config / "inputdataconfig.json").read_text())) == ["train"]
    assert json.loads((config / "resourceconfig.json").read_text())["hosts"] == ["localhost"]
    assert (base / "input/data/train/gt.txt").exists()


def test_a_second_job_starts_clean_and_leaves_the_data_alone(tmp_path, data):
    base = local_job.lay_out(tmp_path / "ml", {}, {"train": data})
    for name in ("model/old", "output/failure", "checkpoints/last"):
        (base / name).write_text("old")
    local_job.lay_out(base, {}, {"train": data}, resume=True)
    assert not (base / "model/old").exists() and not (base / "output/failure").exists()
    assert (base / "checkpoints/last").exists()
    (base / "model/new").write_text("of the job that ended")
    local_job.lay_out(base, {}, {})
    assert not (base / "checkpoints/last").exists()
    assert (data / "gt.txt").exists()


RESULTS = ("model/model.json", "checkpoints/last.pt", "output/data/report.html")


@pytest.mark.parametrize("leaves", [(), ("checkpoints/last.pt",), ("model/model.json",)])
def test_a_job_that_fails_before_it_has_learned_anything_gives_back_what_was_there(tmp_path, data, leaves, capsys):
    """`HP=eposh=3` was refused by name, and the model of the day before had gone by then."""
    base = local_job.lay_out(tmp_path / "ml", {}, {"train": data})
    for name in RESULTS:
        (base / name).write_text("of the job before")
    for _ in range(2):  # the first was killed before it had written anything
        local_job.lay_out(base, {}, {"train": data})
        assert not any((base / name).exists() for name in RESULTS)
    for name in leaves:
        (base / name).write_text("of the new job")
    local_job._settle(base, 1)
    found = {name: (base / name).read_text() for name in RESULTS if (base / name).exists()}
    assert found == dict.fromkeys(leaves or RESULTS, "of the new job" if leaves else "of the job before")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "ml"]
    assert ("has again" in capsys.readouterr().err) is not bool(leaves)


def test_a_job_that_fails_to_go_on_gives_the_model_back_too(tmp_path, data):
    base = local_job.lay_out(tmp_path / "ml", {}, {"train": data})
    for name in RESULTS:
        (base / name).write_text("of the job before")
    local_job.lay_out(base, {"eposh": "9"}, {"train": data}, resume=True)
    assert (base / "checkpoints/last.pt").exists() and not (base / "model/model.json").exists()
    local_job._settle(base, 1)
    assert all((base / name).read_text() == "of the job before" for name in RESULTS)


def test_a_stopped_jobs_checkpoints_are_not_thrown_away(tmp_path, data, capsys):
    """Hours of training were lost by starting the same command again without --resume."""
    base = local_job.lay_out(tmp_path / "ml", {}, {"train": data})
    (base / "checkpoints/last.pt").write_text("hours")
    assert local_job.main(["--out", str(tmp_path), "--data", str(data)]) == 2
    assert (base / "checkpoints/last.pt").read_text() == "hours"
    said = capsys.readouterr().err
    assert str(base / "checkpoints") in said and "RESUME=1" in said


@pytest.mark.parametrize(
    ("pairs", "named"),
    [(["epochs"], "'epochs'"), (["=3"], "'=3'"), (["a=1", "a=2"], "twice"), (["a=" + "x" * 2501], "2500")],
)
def test_malformed_hyperparameter_is_refused_by_name(pairs, named):
    with pytest.raises(local_job.JobSetupError, match=named):
        local_job.parse_hyperparameters(pairs)


def test_too_many_hyperparameters():
    with pytest.raises(local_job.JobSetupError, match="100"):
        local_job.parse_hyperparameters([f"h{i}=1" for i in range(101)])


def test_missing_or_empty_data_is_named(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert local_job.main(["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    assert local_job.main(["--data", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 2
    assert "empty is empty" in capsys.readouterr().err


def test_without_an_engine_the_image_option_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DOCKER", "no-such-engine")
    assert local_job.main(["--image", "any", "--out", str(tmp_path)]) == 2
    assert "no-such-engine" in capsys.readouterr().err


def test_a_job_that_cant_be_started_leaves_the_one_before(tmp_path, monkeypatch, capsys):
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\necho 'Error: No such image' >&2\nexit 1\n")
    engine.chmod(0o755)
    monkeypatch.setenv("DOCKER", str(engine))
    before = [tmp_path / "out/ml/model/model.json", tmp_path / "out/ml/checkpoints/last.pt"]
    for path in before:
        path.parent.mkdir(parents=True)
        path.write_text("of the job before")
    assert local_job.main(["--image", "formula-recogniser", "--out", str(tmp_path / "out")]) == 2
    assert "No such image" in capsys.readouterr().err
    assert all(path.exists() for path in before)


def test_models_that_hyperparameters_name_from_here_are_found_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    hyperparameters, models = local_job.find_models({"init": "model", "teacher": "default", "epochs": "3"})
    assert hyperparameters == {"init": f"{tmp_path}/model", "teacher": "default", "epochs": "3"}
    assert models == [tmp_path / "model"]
    assert local_job.find_models({"init": "absent"}) == ({"init": "absent"}, []), "whoever reads it says so"


@pytest.mark.parametrize("option", ["--hp=init={}", "--data={}"])
def test_the_model_to_begin_with_is_not_removed_first(tmp_path, option, capsys):
    """`HP=init=build/train-local/ml/model` emptied that folder, and then found no model in it."""
    trained = tmp_path / "ml/model"
    trained.mkdir(parents=True)
    (trained / "model.json").write_text("hours")
    assert local_job.main(["--out", str(tmp_path), option.format(trained)]) == 2
    assert (trained / "model.json").read_text() == "hours"
    assert str(trained) in capsys.readouterr().err


def test_a_path_that_cant_be_looked_at_is_named(tmp_path, capsys):
    assert local_job.main(["--out", str(tmp_path), "--data", "x" * 300]) == 2
    assert "xxx" in capsys.readouterr().err


def test_docker_command_mounts_the_job_folder_as_the_calling_user_without_network(tmp_path, data, monkeypatch):
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\nexit 0\n")
    engine.chmod(0o755)
    monkeypatch.setenv("DOCKER", str(engine))
    monkeypatch.setenv("DOCKER_RUN_FLAGS", "--gpus all --shm-size 2g")
    base = local_job.lay_out(tmp_path / "ml", {}, {"train": data})
    docker = local_job._engine_with("image:tag")
    command = local_job._docker_command(docker, "image:tag", base, {"train": data}, [tmp_path / "model"])
    text = " ".join(command)
    assert f"--volume {base}:/opt/ml " in text
    assert f"--volume {data}:/opt/ml/input/data/train:ro" in text
    assert f"--volume {tmp_path}/model:{tmp_path}/model:ro" in text
    assert "--network none" in text and " --gpus all " in text
    assert text.rindex("--shm-size 2g") > text.index("--shm-size 1g")  # the last one counts
    assert f"--user {os.getuid()}:{os.getgid()}" in text
    assert command[-2:] == ["image:tag", "train"]


def test_nothing_to_go_on_from_is_said(tmp_path, capsys):
    """A mistyped folder: the job would begin anew, and its user wait for what is done already."""
    assert local_job.main(["--out", str(tmp_path / "other"), "--resume"]) == 2
    assert "nothing to go on from" in capsys.readouterr().err


def test_archive_is_flat(tmp_path):
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    (model / "model.json").write_text("{}")
    (model / "code/inference.py").write_text("pass\n")
    local_job.pack_model(model, tmp_path / "model.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        assert tar.getnames() == ["code", "code/inference.py", "model.json"]


def test_a_full_disk_leaves_the_model_and_no_half_archive(tmp_path, monkeypatch, capsys):
    def is_full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    base = local_job.lay_out(tmp_path / "ml", {}, {})
    (base / "model/model.json").write_text("{}")
    monkeypatch.setattr(tarfile.TarFile, "add", is_full)
    assert local_job._report(tmp_path, base, 0) == 1
    assert list(tmp_path.iterdir()) == [base]
    assert f"the model is in {base / 'model'}" in capsys.readouterr().err


def test_a_failing_job_returns_its_exit_code_and_names_the_failure_file(tmp_path, data):
    """The whole way, as a plain process; a hyperparameter refused by train.py is quick and needs no training."""
    command = [sys.executable, "-m", "container.local_job", "--data", str(data), "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, "--hp", "sagemaker_program=absent.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done
    assert str(tmp_path / "out/ml/output/failure") in done.stderr
    assert "absent.py" in (tmp_path / "out/ml/output/failure").read_text().splitlines()[0]
