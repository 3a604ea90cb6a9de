"""What the trainer keeps, how it lays out its work, and that a validation is the same in any batches."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import inference
from recognizer.data import loader
from recognizer.data.dataset import Batch, Key
from recognizer.data.loader import Indices, at_random
from recognizer.evaluation.metrics import Metrics
from recognizer.export import Trained, export
from recognizer.models import build
from recognizer.training import checkpoint, loop
from recognizer.training.data import prepare
from recognizer.training.distributed import Ranks
from recognizer.training.precision import NotFiniteError
from recognizer.training.stop import StopSignal
from recognizer.training.validate import Validation, validate
from tests.support.tiny_model import formula_picture
from tests.support.tiny_recognizer import SMALL
from tests.support.tiny_training import SPEC, settings, trainer, write_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data"))


def test_the_best_checkpoint_is_that_of_the_highest_exprate(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the last one, nor that of the lowest loss, which decides between equals: a small set has many."""
    rates, losses = iter([0.1, 0.5, 0.3, 0.5, 0.5]), iter([3.0, 2.5, 1.0, 2.0, 2.2])

    def scripted(model: torch.nn.Module, *_: object) -> Validation:
        real = validate(model, made.validation.epoch(0), made.vocabulary, 5, torch.device("cpu"))  # type: ignore[arg-type]
        metrics: Metrics = dataclasses.replace(real.metrics, exprate=next(rates))
        return Validation(next(losses), metrics, real.calibration)

    made = trainer(settings(epochs=5), folder, tmp_path)
    monkeypatch.setattr(loop, "validate", scripted)
    assert made.run(StopSignal())
    best = checkpoint.read(tmp_path, checkpoint.BEST)
    assert best and (best["epoch"], best["metrics"]["exprate"]) == (4, 0.5)
    assert made.progress.best_exprate == 0.5


class _Elsewhere(Ranks):
    """The main rank of two, of which the other goes on from step 7."""

    def gather(self, value: object) -> list[object]:
        return [value, 7]


def test_checkpoints_that_differ_between_hosts_are_refused(folder: Path, tmp_path: Path) -> None:
    made = trainer(settings(), folder, tmp_path)
    made.ranks = _Elsewhere()
    with pytest.raises(checkpoint.CheckpointError, match=r"would go on from steps 0, 7: every host .* needs the same"):
        made.resume()


def test_pictures_and_weights_are_channels_last_and_the_optimizer_is_fused(folder: Path, tmp_path: Path) -> None:
    made = trainer(settings(), folder, tmp_path)
    seen: list[bool] = []
    convolutions = [layer for layer in made.model.modules() if isinstance(layer, torch.nn.Conv2d)]

    def note(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    for layer in convolutions[1:]:  # the first has one channel: both layouts are the same
        layer.register_forward_pre_hook(note)
    made._forward(made.model, next(iter(made.training.epoch(0, 0))))
    assert seen and all(seen)
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in convolutions)
    assert made.optimizer.defaults["fused"] is True


@pytest.mark.parametrize(("reading", "computing", "share"), [(3.0, 1.0, "0.75"), (0.0, 4.0, "0.00")])
def test_the_share_of_waiting_for_pictures_is_told(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reading: float,
    computing: float,
    share: str,
) -> None:
    """By a clock that only reading a batch and computing a step move on."""
    clock = SimpleNamespace(now=0.0)
    watch = SimpleNamespace(monotonic=lambda: clock.now, perf_counter=lambda: clock.now)
    monkeypatch.setattr(loop, "time", watch)
    monkeypatch.setattr(loader, "time", watch)
    made = trainer(settings(epochs=2), folder, tmp_path)
    train_batch = made._train_batch

    def read(epoch: int, batches: Sequence[Indices]) -> Iterator[list[Key]]:
        for keys in at_random(epoch, batches):
            clock.now += reading
            yield keys

    def compute(batch: Batch, stop: bool) -> tuple[float, int, bool]:
        clock.now += computing
        return train_batch(batch, stop)

    monkeypatch.setattr(made.training, "fetch", read)
    monkeypatch.setattr(made, "_train_batch", compute)
    assert made.run(StopSignal())
    told = re.findall(r"train:data_wait=([0-9.]+);", capsys.readouterr().out)
    assert len(told) > 2 and set(told) == {share}


def test_a_validation_is_no_part_of_the_rate(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a clock on which a picture takes a second, and a validation a hundred."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    made = trainer(settings(epochs=2), folder, tmp_path)
    train_batch, validate_all = made._train_batch, made._validate

    def compute(batch: Batch, stop: bool) -> tuple[float, int, bool]:
        clock.now += len(batch)
        return train_batch(batch, stop)

    def validate_slowly() -> None:
        clock.now += 100
        validate_all()

    monkeypatch.setattr(made, "_train_batch", compute)
    monkeypatch.setattr(made, "_validate", validate_slowly)
    assert made.run(StopSignal())
    told = re.findall(r"train:images_per_second=([0-9.]+);", capsys.readouterr().out)
    assert len(told) > 2 and set(told) == {"1.0"}


class _OnGpu(Ranks):
    """A rank that has a GPU, as far as its data is concerned."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", 0)


@pytest.mark.parametrize(("ranks", "pinned"), [(Ranks(), False), (_OnGpu(), True)])
def test_a_gpu_is_fed_from_page_locked_memory(folder: Path, ranks: Ranks, pinned: bool, tmp_path: Path) -> None:
    assert prepare(settings(), folder, None, SPEC, None, ranks).training._loader.pin_memory is pinned


def _in_batches(samples: Batch, sizes: list[int]) -> Iterator[Batch]:
    """One batch cut into several."""
    start = 0
    for size in sizes:
        rows = slice(start, start + size)
        yield dataclasses.replace(
            samples,
            images=samples.images[rows],
            sizes=samples.sizes[rows],
            tokens=samples.tokens[rows],
            indices=samples.indices[rows],
            samples=samples.samples[rows],
        )
        start += size


def test_O4_a_validation_is_the_same_in_any_batches_and_drops_none(folder: Path, tmp_path: Path) -> None:
    made = trainer(settings(epochs=2, batch_size=7), folder, tmp_path)
    assert made.run(StopSignal())
    whole = next(iter(made.training.epoch(0, 0)))
    assert len(whole) == 7
    once, thrice = (
        validate(made.average.model, _in_batches(whole, sizes), made.vocabulary, 20, torch.device("cpu"))
        for sizes in ([7], [3, 3, 1])
    )
    assert once.metrics.samples == thrice.metrics.samples == 7
    assert once.loss == pytest.approx(thrice.loss, rel=1e-5) and once.metrics == thrice.metrics


def test_L1_training_validation_and_serving_see_the_same_tensor(folder: Path, tmp_path: Path) -> None:
    """Lesson: only the training pictures were halved. Here `scale` and the canvases are one specification for all."""
    spec = dataclasses.replace(SPEC, scale=0.5)
    chosen = settings(augment=False)
    data = prepare(chosen, folder, folder, spec, None, Ranks())
    network = build("fast", len(data.vocabulary), 20, SMALL["fast"]).eval()
    trained = Trained(network, "fast", SMALL["fast"], data.vocabulary, spec, 20)
    served = export(trained, [formula_picture(0)], tmp_path)

    def by_name(batches: Iterator[Batch]) -> dict[str, np.ndarray]:
        return {
            Path(sample.name).name: image[0, : int(height), : int(width)].numpy()
            for batch in batches
            for sample, image, (height, width) in zip(batch.samples, batch.images, batch.sizes, strict=True)
        }

    training, validation = by_name(data.training.epoch(0, 0)), by_name(data.validation.epoch(0))
    assert training.keys() == validation.keys() and len(training) == 20
    for name, image in training.items():
        prepared = served.prepare(inference.read_image((folder / name).read_bytes()))
        assert np.array_equal(image, validation[name]) and np.array_equal(image, prepared)
        height, width = image.shape
        canvas = inference.canvas_size(height, width, served.spec)
        assert canvas == inference.canvas_size(height, width, spec)
    whole = inference.preprocess(inference.read_image((folder / "0.png").read_bytes()), SPEC)
    assert training["0.png"].shape[0] < 0.7 * whole.shape[0], "it is half as large"


def test_weights_that_have_diverged_are_the_reason_of_the_end(folder: Path, tmp_path: Path) -> None:
    """Of twenty skipped steps a small set hasn't enough before it validates; nothing can be decoded then."""
    made = trainer(settings(), folder, tmp_path)
    next(made.average.model.parameters()).data.fill_(float("nan"))
    with pytest.raises(NotFiniteError, match=r"validation loss isn't finite.* lower learning_rate"):
        made._validate_here()
