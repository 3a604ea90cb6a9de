"""A start from trained weights: rows follow their tokens; what doesn't fit is told, what can't be used is refused."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import inference
from recognizer.config import ConfigError, Hyperparameters
from recognizer.latex import Vocabulary
from recognizer.model_dir import read_model
from recognizer.models import REGISTRY, FormulaRecognizer, build
from recognizer.training import checkpoint, job, warmstart
from recognizer.training.loop import Trainer
from recognizer.training.stop import StopSignal
from recognizer.training.warmstart import TakenOver, follow, read_start, start_path, take_over, token_axes
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_recognizer import SMALL, write_start
from tests.unit.training.test_resume import StopAfter

OLD = Vocabulary.from_tokens(["x", "y", "+", "\\alpha", "-"])
NEW = Vocabulary.from_tokens(["\\beta", "+", "y", "x"])


def make(name: str, vocabulary: Vocabulary, seed: int, **sizes: Any) -> FormulaRecognizer:
    torch.manual_seed(seed)
    return build(name, len(vocabulary), 20, {**SMALL[name], **sizes})


def write_model(folder: Path, name: str = "fast", changes: dict[str, Any] | None = None) -> Path:
    """With the vocabulary OLD."""
    return write_start(folder, name, OLD, 1, {"version": f"{name}-0123", **(changes or {})})


def pack(folder: Path, archive: Path, *more: tarfile.TarInfo) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        for member in more:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
        for path in folder.iterdir():
            tar.add(path, f"./{path.name}")
    return archive


def begin(folder: Path, name: str = "fast", **sizes: Any) -> tuple[FormulaRecognizer, TakenOver]:
    model = make(name, NEW, 2, **sizes)
    axes = token_axes(model, name, len(NEW), 20, {**SMALL[name], **sizes})
    return model, take_over(read_start(folder, name), model, NEW, axes)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_rows_follow_their_tokens_and_all_else_is_the_same(tmp_path: Path, name: str) -> None:
    """Every weight of every recognizer; a token's row is moved, a new one keeps its random beginning."""
    old = load_file(write_model(tmp_path, name) / "weights.safetensors")
    fresh = make(name, NEW, 2).state_dict()
    model, taken = begin(tmp_path, name)
    axes = token_axes(model, name, len(NEW), 20, SMALL[name])
    assert axes, "a recognizer has at least one weight with a row a token"
    for key, weight in model.state_dict().items():
        if key not in axes:
            assert torch.equal(weight, old[key]), key
            continue
        for token in NEW.tokens:
            row = weight.select(axes[key], NEW.tokens.index(token))
            place = OLD.tokens.index(token) if token in OLD else None
            before = old[key].select(axes[key], place) if place is not None else None
            expected = fresh[key].select(axes[key], NEW.tokens.index(token)) if before is None else before
            assert torch.equal(row, expected), (key, token)
    assert (taken.new, taken.dropped) == ((), ())
    assert (taken.new_tokens, taken.dropped_tokens) == (("\\beta",), ("\\alpha", "-"))
    assert "new: 1 (\\beta); dropped: 2 (\\alpha -)" in str(taken)


def test_a_width_that_equals_the_vocabulary_is_not_taken_for_it(tmp_path: Path) -> None:
    tokens = Vocabulary.from_tokens([*OLD.tokens[3:], *map(str, range(SMALL["fast"]["width"] - len(OLD)))])
    assert len(tokens) == SMALL["fast"]["width"]
    axes = token_axes(make("fast", tokens, 0), "fast", len(tokens), 20, SMALL["fast"])
    assert axes == {"decoder.embedding.weight": 0, "decoder.output.weight": 0, "decoder.output.bias": 0}


def test_what_does_not_fit_is_left_new_and_told(tmp_path: Path) -> None:
    _, taken = begin(write_model(tmp_path), decoder_layers=3)
    assert taken.kept and not taken.dropped
    assert all(name.startswith("decoder.layers.2.") for name in taken.new)
    assert taken.deeper == ("decoder.layers.2",)
    _, taken = begin(tmp_path, stem=16)
    assert "conv.downs.0.weight" in set(taken.new) & set(taken.dropped), "its shape is another"
    assert "decoder.embedding.weight" in taken.kept


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("fast", {"encoder_layers": 2}),
        ("fast", {"blocks": 2}),
        ("fast", {"decoder_layers": 3}),
        ("fast with coverage", {"decoder_layers": 4, "encoder_layers": 3}),
        ("satrn", {"encoder_layers": 3}),
    ],
)
def test_a_deeper_network_begins_by_reading_as_its_start_does_and_learns(
    tmp_path: Path, name: str, sizes: dict[str, int]
) -> None:
    start = read_model(write_start(tmp_path, name, OLD, 1))
    images, picture_sizes = torch.rand(2, 1, 48, 96), torch.tensor([[48, 96], [40, 50]])
    logits = []
    for changed in ({}, sizes):
        network = start.recognizer, len(OLD), 20, start.sizes | changed
        model = build(*network).eval()
        taken = take_over(start, model, OLD, token_axes(model, *network))
        logits.append(model(images, picture_sizes, torch.tensor([[1, 4, 5]] * 2)))
    torch.testing.assert_close(*logits)
    logits[1].square().sum().backward()
    for layer in taken.deeper:
        gradients = [weight.grad for weight in model.get_submodule(layer).parameters()]
        assert any(each is not None and each.any() for each in gradients), f"{layer} learns nothing"
    assert len(taken.deeper) >= 1


def test_looking_for_the_axes_leaves_the_random_numbers_alone() -> None:
    model = make("fast", NEW, 2)
    state = torch.get_rng_state()
    token_axes(model, "fast", len(NEW), 20, SMALL["fast"])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("inside", [True, False], ids=["folder", "file"])
def test_an_archive_is_unpacked_and_leaves_nothing_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    """What tries to get out of the folder, or isn't one of the two files, isn't unpacked at all."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    model = write_model(tmp_path / "model")
    outside = tarfile.TarInfo("../outside.txt")
    outside.size = 1
    link = tarfile.TarInfo("weights.safetensors")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    (tmp_path / "channel").mkdir()
    archive = pack(model, tmp_path / "channel" / "model.tar.gz", outside, link)
    start = read_start(archive.parent if inside else archive, "fast")
    assert start.version == "fast-0123"
    assert torch.equal(start.weights["decoder.output.bias"], make("fast", OLD, 1).state_dict()["decoder.output.bias"])
    assert not list((tmp_path / "temporary").iterdir()), "nothing is left, and nothing got out"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recognizer": {"name": "srn", "sizes": {}}}, r"model of recognizer 'srn', this job trains 'fast'"),
        ({"format_version": 2}, r"model\.json has format_version 2; this program reads 1"),
        ({"recognizer": "fast"}, r"model\.json, key recognizer: "),
        ({"vocabulary": {}}, r"key 'tokens' must be a list"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"init: {tmp_path}.*{message}"):
        read_start(write_model(tmp_path, changes=changes), "fast")


def test_what_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing has neither model\.json nor model\.tar\.gz"):
        read_start(tmp_path / "nothing", "fast")
    (tmp_path / "model.tar.gz").write_bytes(b"\x1f\x8b half an archive")
    with pytest.raises(ConfigError, match=r"model\.tar\.gz is no model archive"):
        read_start(tmp_path, "fast")
    model = write_model(tmp_path / "model")
    (model / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match=r"model can't be used"):
        read_start(model, "fast")
    (model / "weights.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"weights\.safetensors"):
        read_start(model, "fast")


def test_a_start_of_which_nothing_fits_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    save_file({"other": torch.zeros(1)}, model / "weights.safetensors")
    with pytest.raises(ConfigError, match="no weight of fast-0123 fits"):
        begin(model)


@pytest.fixture
def job_with_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hyperparameters]:
    """Folders of a job whose channel `model` has a start; gives settings for it."""
    (tmp_path / "channel").mkdir()
    pack(write_model(tmp_path / "start"), tmp_path / "channel" / "model.tar.gz")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.setenv("SM_CHANNEL_TRAIN", str(write_tiny_dataset(tmp_path / "data")))
    monkeypatch.setenv("SM_CHANNEL_MODEL", str(tmp_path / "channel"))
    for name in ("SM_MODEL_DIR", "SM_OUTPUT_DATA_DIR", "SM_CHANNEL_VALIDATION"):
        monkeypatch.delenv(name, raising=False)
    few: dict[str, Any] = {"epochs": 1, "workers": 0, "threads": 1, "strips": 0, "max_tokens": 20, "augment": False}
    return lambda **more: Hyperparameters(**few, **more, sizes=SMALL["fast"])


@pytest.mark.slow
def test_a_job_begins_with_the_channel_and_says_so_in_its_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    job_with_channel: Callable[..., Hyperparameters],
) -> None:
    """Stopped after one step, it goes on without reading the start again, and remembers it."""
    settings = job_with_channel(symbol_steps=1_000_000)
    trains = Trainer.run
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", lambda made, stop: trains(made, StopAfter(1)))
        job.run(settings, job.Folders.from_environment(), StopSignal())
    assert "begins with fast-0123, without lessons on symbols" in capsys.readouterr().out
    state = checkpoint.read(tmp_path / "checkpoints", checkpoint.LAST, "fast")
    assert state is not None and state["progress"]["step"] == 1, "a step, not a lesson"

    monkeypatch.delenv("SM_CHANNEL_MODEL")
    job.run(settings.model_copy(update={"symbol_steps": 0}), job.Folders.from_environment(), StopSignal())
    assert "begins with" not in capsys.readouterr().out
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert description["provenance"]["init"] == "fast-0123"


@pytest.mark.slow
def test_with_keep_tokens_a_job_forgets_no_token_of_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_with_channel: Callable[..., Hyperparameters]
) -> None:
    """The data has digits and `+` alone; a job that goes on knows the others too, as long as the switch is on."""
    folders = job.Folders.from_environment()
    job.run(job_with_channel(keep_tokens=True), folders, StopAfter(1))
    job.run(job_with_channel(keep_tokens=True), folders, StopSignal())

    kept = json.loads((tmp_path / "model" / "model.json").read_text())["vocabulary"]["tokens"]
    assert set(OLD.tokens) < set(kept) and len(kept) == len(set(kept))
    assert kept[-4:] == ["x", "y", "\\alpha", "-"], "the data's own tokens come first, as without the switch"
    with pytest.raises(checkpoint.CheckpointError, match="vocabulary"):
        job.run(job_with_channel(), folders, StopSignal())

    monkeypatch.delenv("SM_CHANNEL_MODEL")
    with pytest.raises(ConfigError, match="keep_tokens=true without a model to begin with"):
        job.run(job_with_channel(keep_tokens=True), job.Folders.from_environment(), StopSignal())


def test_what_isn_t_set_follows_the_start(tmp_path: Path) -> None:
    """Who fine-tunes a model shouldn't have to know its sizes."""
    spec = {**inference.PreprocessSpec().to_dict(), "glyph_height": 14.0, "frames": True}
    start = read_start(write_model(tmp_path, changes={"preprocess": spec}), "fast")

    settings = follow(start, Hyperparameters.from_strings({"decoder_layers": "5"}))

    assert settings.sizes == {**settings.sizes, **SMALL["fast"], "decoder_layers": 5}
    assert settings.glyph_height == 14.0 and settings.frames
    assert not follow(start, Hyperparameters.from_strings({"frames": "false"})).frames
    assert settings.symbol_steps == 0 and not settings.short_first
    for given, kept in (("20", 20.0), ("16", 16.0)):  # be it the default
        assert follow(start, Hyperparameters.from_strings({"glyph_height": given})).glyph_height == kept
    default = REGISTRY["fast"][1]().model_dump()["width"]
    assert default != SMALL["fast"]["width"]
    assert follow(start, Hyperparameters.from_strings({"width": str(default)})).sizes["width"] == default


def test_default_is_the_shipped_model_or_says_where_it_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start_path("/some/model") == Path("/some/model")
    monkeypatch.setattr(warmstart, "SHIPPED", (tmp_path / "nothing", tmp_path / "weights"))
    with pytest.raises(ConfigError, match=r"the shipped model isn't in .*nothing or .*weights"):
        start_path("default")
    write_model(tmp_path / "weights")
    assert start_path("default") == tmp_path / "weights"
