"""An export is the trained network, complete, self-checking, and loadable without torch."""

from __future__ import annotations

import errno
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

import inference
from recognizer import export as exporting
from recognizer.disk import NoRoomError
from recognizer.export import ExportError, Trained, _verify, export, write_onnx
from recognizer.latex import Vocabulary
from recognizer.training import job
from recognizer.training.stop import StopSignal
from recognizer.training.validate import decode
from tests.support.tiny_model import formula_picture
from tests.support.tiny_recognizer import SMALL, TOKENS, VARIANTS, build_variant
from tests.support.tiny_training import settings, write_pictures

PICTURES = [formula_picture(seed) for seed in range(5)]
CALIBRATION = {"slope": 0.5, "offset": -1.0}


@pytest.fixture(scope="module", params=sorted(VARIANTS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """A recognizer with random weights, large enough to give varied answers, and its model directory."""
    vocabulary = Vocabulary.from_labels([TOKENS])
    model, (name, sizes) = build_variant(request.param, len(vocabulary), 20, seed=7), VARIANTS[request.param]
    trained = Trained(model, name, sizes, vocabulary, inference.PreprocessSpec(), 20, calibration=CALIBRATION)
    target: Path = tmp_path_factory.mktemp("model")
    export(trained, PICTURES[:4], target)
    return trained, target


def test_the_directory_is_complete_and_has_no_pickle(exported: tuple[Trained, Path]) -> None:
    names = {str(path.relative_to(exported[1])) for path in exported[1].rglob("*") if path.is_file()}
    assert {"model.json", "encoder.onnx", "decoder.onnx", "weights.safetensors"} < names
    assert {"encoder.int8.onnx", "decoder.int8.onnx"} < names
    assert {
        "golden/golden.json",
        "golden/inputs.npz",
        "golden/00.png",
        "code/inference.py",
        "code/requirements.txt",
    } < names
    assert not [name for name in names if name.endswith((".pt", ".pth", ".pkl", ".partial"))]
    assert not [path for path in exported[1].iterdir() if path.name.startswith(".export-")]


def test_the_networks_say_nothing_of_the_machine_that_made_them(exported: tuple[Trained, Path]) -> None:
    """The exporter would note for each node where in our sources it came from."""
    for name in ("encoder.onnx", "decoder.onnx"):
        network = (exported[1] / name).read_bytes()
        assert b".py" not in network and str(Path(inference.__file__).parent).encode() not in network, name


def test_onnx_answers_what_torch_answers(exported: tuple[Trained, Path]) -> None:
    """The server's whole path, for pictures alone and in batches, against the torch network."""
    trained, target = exported
    served = inference.Recognizer.load(target)
    inputs = [served.prepare(picture) for picture in PICTURES]
    images, sizes = inference.make_batch(inputs, trained.spec)
    with torch.no_grad():
        memory = trained.model.encode(torch.from_numpy(images), torch.from_numpy(sizes))
        expected = [ids for ids, _ in decode(trained.model, memory, trained.vocabulary, trained.max_tokens)]
    for answers in (served.recognize(inputs), [served.recognize([each])[0] for each in inputs]):
        assert [list(answer.tokens) for answer in answers] == [trained.vocabulary.decode(ids) for ids in expected]


def test_steps_that_are_not_what_was_trained_are_refused(
    exported: tuple[Trained, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, target = exported
    taught = trained.model.decode
    monkeypatch.setattr(trained.model, "decode", lambda memory, tokens: taught(memory, tokens) + 0.1)
    with pytest.raises(ExportError, match=r"step differs from decode by 1\.00e-01"):
        _verify(trained, PICTURES[0], target)


def test_the_networks_in_8_bits_are_smaller_and_nearly_the_same(exported: tuple[Trained, Path]) -> None:
    """They read the golden samples as they did at export; logits differ a little."""
    _, target = exported
    plain, rounded = (inference.Recognizer.load(target, precision=name) for name in inference.NETWORKS)
    assert rounded.check_golden() == plain.check_golden() > 0
    inputs = [plain.prepare(picture) for picture in PICTURES]
    (_, memory), (_, other) = plain.encode(inputs), rounded.encode(inputs)
    differences = [
        np.abs(memory[name] - other[name]).max() / np.abs(memory[name]).max() for name in memory if memory[name].size
    ]
    products = {node.op_type for node in onnx.load(target / "encoder.onnx").graph.node} & {"MatMul", "Gemm"}
    assert max(differences) < 0.1 and (max(differences) > 0) == bool(products), "convolutions stay"
    sizes = [sum((target / name).stat().st_size for name in inference.NETWORKS[each]) for each in inference.NETWORKS]
    assert sizes[1] < sizes[0]


def test_a_precision_that_is_not_there_is_refused_by_name(exported: tuple[Trained, Path], tmp_path: Path) -> None:
    with pytest.raises(inference.ModelError, match="precision 'int4' is not one of fp32, int8"):
        inference.Recognizer.load(exported[1], precision="int4")
    older = shutil.copytree(exported[1], tmp_path / "older")
    (older / "encoder.int8.onnx").unlink()
    with pytest.raises(inference.ModelError, match="older has no int8 networks: export it anew, or use fp32"):
        inference.Recognizer.load(older, precision="int8")


def test_the_calibration_is_served(exported: tuple[Trained, Path]) -> None:
    """`predict` gives probabilities, `recognize` (and so the golden samples) what the network says."""
    served = inference.Recognizer.load(exported[1])
    said = served.recognize([served.prepare(PICTURES[0])])[0].confidence
    answered = served.predict([PICTURES[0]], inference.Options(views=1))[0].confidence
    assert math.log(answered / (1 - answered)) == pytest.approx(0.5 * math.log(said) - 1, abs=1e-4)


def test_weights_can_be_trained_on(exported: tuple[Trained, Path]) -> None:
    trained, target = exported
    weights = load_file(target / "weights.safetensors")
    assert weights.keys() == trained.model.state_dict().keys()
    trained.model.load_state_dict(weights)


def test_L12_it_loads_where_torch_is_absent(exported: tuple[Trained, Path]) -> None:
    """Lesson: a model saved on a newer torch didn't load on an older one."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'recognizer', 'albumentations', 'scipy']));"
        "import inference; print(inference.model_fn(sys.argv[1]).check_golden())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(exported[1])],
        cwd=exported[1] / "code",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "6"), done.stderr


@pytest.mark.parametrize("key, value", [("mean", 0.3), ("std", 0.5), ("resample", "linear"), ("scale", 0.5)])
def test_L1_L11_changed_preprocessing_is_refused_and_the_sample_named(
    exported: tuple[Trained, Path], tmp_path: Path, key: str, value: object
) -> None:
    model = Path(shutil.copytree(exported[1], tmp_path / "model"))
    description = json.loads((model / "model.json").read_text())
    description["preprocess"][key] = value
    (model / "model.json").write_text(json.dumps(description))
    with pytest.raises(inference.ModelError, match=r"golden sample \d\d\.png"):
        inference.model_fn(str(model))


def test_L11_swapped_colour_channels_are_refused(
    exported: tuple[Trained, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = inference.read_image
    monkeypatch.setattr(inference, "read_image", lambda data: np.ascontiguousarray(read(data)[:, :, ::-1]))
    with pytest.raises(inference.ModelError, match=r"golden sample \d\d\.png: the prepared input differs"):
        inference.model_fn(str(exported[1]))


def test_other_weights_are_refused(exported: tuple[Trained, Path], tmp_path: Path) -> None:
    """Golden answers of another model: expected and seen are told."""
    model = Path(shutil.copytree(exported[1], tmp_path / "model"))
    golden = json.loads((model / "golden" / "golden.json").read_text())
    golden[2]["latex"] = "other"
    (model / "golden" / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(inference.ModelError, match=r"golden sample 02\.png: expected 'other'"):
        inference.model_fn(str(model))


@pytest.mark.parametrize(
    "stored", ["{", "[]", '[{"file": "00.png"}]', '[{"file": "none.png", "latex": "x", "confidence": 1}]', '["00.png"]']
)
def test_damaged_golden_samples_are_told(exported: tuple[Trained, Path], tmp_path: Path, stored: str) -> None:
    model = Path(shutil.copytree(exported[1], tmp_path / "model"))
    (model / "golden" / "golden.json").write_text(stored)
    with pytest.raises(inference.ModelError, match="golden"):
        inference.model_fn(str(model))


def test_pictures_are_encoded_alone_on_a_cpu_and_together_on_a_gpu_with_the_same_answers(
    exported: tuple[Trained, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = inference.Recognizer.load(exported[1])
    inputs = [model.prepare(picture) for picture in PICTURES]
    assert len({image.shape for image in inputs}) > 1
    sizes: list[int] = []
    encode = model._encode

    def counted(images):
        sizes.append(len(images))
        return encode(images)

    monkeypatch.setattr(model, "_encode", counted)

    alone = model.recognize(inputs)
    model._on_cpu = False
    together = model.recognize(inputs)

    assert sizes == [1, 1, 1, 1, 1, 5]
    assert [each.tokens for each in alone] == [each.tokens for each in together]
    assert [each.confidence for each in alone] == pytest.approx([each.confidence for each in together], rel=1e-3)


class Choosy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_written_as_onnx_is_told_without_the_exporters_plea_for_a_report(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"torch can't write encoder\.onnx: .*data-dependent") as refused:
        write_onnx(Choosy(), (torch.ones(3),), tmp_path / "encoder.onnx", ["x"], ["y"], ({},))
    assert "GitHub" not in str(refused.value)


def test_a_job_whose_export_fails_says_so_and_goes_on_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours of training of a new recognizer are not lost."""
    (data := tmp_path / "data").mkdir()
    folders = job.Folders(tmp_path / "model", tmp_path / "output", tmp_path / "checkpoints", write_pictures(data), None)
    chosen = settings(epochs=1, sizes=SMALL["fast"])

    def fail(*_: object) -> None:
        raise ExportError("torch can't")

    with (
        monkeypatch.context() as changed,
        pytest.raises(ExportError, match=r"fast: torch can't\. What .*/checkpoints: "),
    ):
        changed.setattr(job, "export", fail)
        job.run(chosen, folders, StopSignal())
    capsys.readouterr()
    job.run(chosen, folders, StopSignal())
    told = capsys.readouterr().out
    assert "resumed at epoch 2" in told and "train:loss" not in told
    inference.Recognizer.load(folders.model).check_golden()


@pytest.fixture(scope="module")
def small() -> Trained:
    vocabulary = Vocabulary.from_labels([TOKENS])
    model = build_variant("fast", len(vocabulary), 20, seed=7)
    return Trained(model, "fast", SMALL["fast"], vocabulary, inference.PreprocessSpec(), 20)


def test_a_disk_without_room_is_the_reason(small: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known beforehand, or when others have filled it meanwhile: not that the recognizer can't be exported."""

    def fail(*_: object) -> None:
        raise ExportError("torch can't write encoder.onnx") from OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_write_onnx", fail)
        with pytest.raises(NoRoomError, match=r"is full: the model can't be exported; give .* larger volume"):
            export(small, PICTURES[:1], tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=3 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(NoRoomError, match=r"needs \d+ MiB in .*, 3 MiB are free; give the job a larger volume"):
        export(small, PICTURES[:1], tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_export_has_left_goes(small: Trained, tmp_path: Path) -> None:
    """It would be packed with the model."""
    (tmp_path / ".export-killed" / "golden").mkdir(parents=True)
    export(small, PICTURES[:1], tmp_path)
    assert not list(tmp_path.glob(".*"))
