"""A skipped step names the first module that went wrong and the pictures it saw; an ordinary one pays nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from recognizer.data.dataset import Batch
from recognizer.data.sample import FilePicture, Sample
from recognizer.training.diagnose import Culprit, describe, find_culprit
from recognizer.training.loop import Trainer
from recognizer.training.precision import NotFiniteError
from recognizer.training.stop import StopSignal
from tests.unit.training.test_resume import folder, settings, trainer  # noqa: F401 (a fixture)

SAMPLES = tuple(Sample(f"{n}.png", ("x",), FilePicture(Path("x")), origin=f"gt.txt:{n}") for n in range(10))


class Two(nn.Module):
    """Two linear parts; the output is nested, as an encoder's memory is."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        return {"memory": [self.second(self.first(x))]}


def test_the_first_of_all_that_go_wrong_is_named_with_its_rows() -> None:
    model, x = Two(), torch.ones(4, 3)
    x[2, 1] = torch.nan
    assert find_culprit(model, lambda: model(x), 4) == Culprit("first (Linear)", (2,))
    with torch.no_grad():
        model.second.bias[0] = torch.inf
    assert find_culprit(model, lambda: model(torch.ones(4, 3)), 4) == Culprit("second (Linear)", (0, 1, 2, 3))


def test_a_nested_output_is_looked_into() -> None:
    class Late(Two):
        def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
            return {"memory": [super().forward(x)["memory"][0] / 0]}

    model = Late()
    assert find_culprit(model, lambda: model(torch.ones(4, 3)), 4) == Culprit("the whole (Late)", (0, 1, 2, 3))


def test_finite_is_no_find_and_no_hook_stays() -> None:
    model = Two()
    assert find_culprit(model, lambda: model(torch.ones(4, 3)), 4) is None
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("culprit", "text"),
    [
        (Culprit("a (Linear)", (3, 7)), "output of a (Linear), of 2 of 10 samples: 3.png (gt.txt:3), 7.png (gt.txt:7)"),
        (Culprit("a (Linear)", ()), "first in the output of a (Linear); samples 0.png (gt.txt:0), 1.png (gt.txt:1)"),
        (Culprit("a (Linear)", tuple(range(10))), "7.png (gt.txt:7) and 2 more"),
        (None, "every module's output is finite, so it overflowed on the way back; samples 0.png (gt.txt:0)"),
    ],
)
def test_a_person_is_told_module_and_places(culprit: Culprit | None, text: str) -> None:
    assert text in describe(culprit, SAMPLES)


def test_without_samples_the_module_alone_is_told() -> None:
    """The lessons on symbols have none."""
    assert describe(Culprit("a (Linear)", (1,)), ()) == "first in the output of a (Linear)"
    assert describe(None, ()) == "every module's output is finite, so it overflowed on the way back"


class OneBlot(Trainer):
    """The picture `3.png` has an infinite pixel."""

    def _train_batch(self, batch: Batch, stop: bool) -> tuple[float, int, bool]:
        for row, sample in enumerate(batch.samples):
            if sample.name == "3.png":
                batch.images[row, 0, 0, 0] = torch.inf
        return super()._train_batch(batch, stop)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_names_the_bad_picture_once_a_skip_and_goes_on(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    precision: str,
) -> None:
    made = trainer(settings(precision=precision, augment=False), folder, tmp_path, OneBlot)
    assert made.run(StopSignal())
    told = [line for line in capsys.readouterr().out.splitlines() if "conv.downs.0 (ScaledConv)" in line]
    assert len(told) == made.settings.epochs
    assert all("of 1 of " in line and "3.png (labels.jsonl:4)" in line for line in told), told
    assert all(torch.isfinite(parameter).all() for parameter in made.model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_last_error_names_the_module(folder: Path, tmp_path: Path, precision: str) -> None:  # noqa: F811
    made = trainer(settings(precision=precision, epochs=20), folder, tmp_path)
    with torch.no_grad():
        made.model.get_parameter("decoder.output.bias").fill_(torch.nan)
    with pytest.raises(NotFiniteError, match=r"In the last one: first in the output of decoder\.output \(Linear\)"):
        made.run(StopSignal())
