"""A student learns what its teacher says, token by token by spelling; what the teacher can't say teaches nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import inference
from recognizer.config import ConfigError
from recognizer.data.dataset import Batch
from recognizer.latex import Vocabulary
from recognizer.model_dir import Start
from recognizer.models import build
from recognizer.training.distill import Teacher, read_teacher
from recognizer.training.stop import StopSignal
from tests.support.tiny_recognizer import SMALL
from tests.unit.training.test_resume import StopAfter, folder, settings, trainer, weights
from tests.unit.training.test_warmstart import OLD, make, write_model

__all__ = ["folder"]  # a fixture
SPEC = inference.PreprocessSpec()
CPU = torch.device("cpu")
STUDENT = Vocabulary.from_tokens(["\\beta", "+", "y", "x"])  # OLD lacks \beta, and has two more


def teacher(name: str = "fast", max_tokens: int = 20) -> tuple[Teacher, torch.nn.Module]:
    """A teacher with random weights that knows OLD, for STUDENT; and its network."""
    network = make(name, OLD, 1).eval()
    start = Start("fast-1", name, SMALL[name], OLD, 20, SPEC, network.state_dict())
    return Teacher(replace(start, max_tokens=max_tokens), STUDENT, CPU), network


def batch(*labels: list[str]) -> Batch:
    rows = [[STUDENT.bos, *STUDENT.encode(label), STUDENT.eos] for label in labels]
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [STUDENT.pad] * (longest - len(row)) for row in rows])
    images = torch.rand(len(rows), 1, 32, 64, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.tensor([[32, 64]] * len(rows)), tokens, tuple(range(len(rows))))


def said_by(network: torch.nn.Module, seen: Batch) -> torch.Tensor:
    """What the teacher says of labels that it knows, in the student's ids; (B, T, V)."""
    ids = torch.tensor([OLD.encode([token])[0] if token in OLD else OLD.pad for token in STUDENT.tokens])
    with torch.no_grad():
        logits = network(seen.images, seen.sizes, ids[seen.tokens[:, :-1]])
    return logits[:, :, ids]


@pytest.mark.parametrize("name", ["fast", "satrn", "attention"])
def test_who_says_what_the_teacher_says_has_no_loss(name: str) -> None:
    """Whatever the ids are, and whatever it says of the token that the teacher lacks."""
    taught, network = teacher(name)
    seen = batch(["x", "+", "y"], ["x"])
    same = said_by(network, seen)
    same[:, :, STUDENT.encode(["\\beta"])] = torch.randn(2, 4, 1)
    assert float(taught.loss(same, seen)) == pytest.approx(0, abs=1e-5)
    other = same.clone()
    other[0, 0, STUDENT.encode(["x"])] += 1
    assert float(taught.loss(other, seen)) > 0.01


def test_the_loss_is_the_divergence_of_each_token_at_the_temperature() -> None:
    taught, network = teacher()
    seen = batch(["x", "+"])
    logits = torch.randn(1, 3, len(STUDENT), generator=torch.Generator().manual_seed(1))
    shared = STUDENT.encode(taught.shared)
    p, q = ((each[0][:, shared] / 2).softmax(dim=1) for each in (said_by(network, seen), logits))
    assert float(taught.loss(logits, seen)) == pytest.approx(4 * float((p * (p / q).log()).sum()), rel=1e-4)


def counted(taught: Teacher, seen: Batch) -> list[list[bool]]:
    """Which tokens of the labels the loss looks at."""
    logits = torch.zeros(*seen.tokens[:, 1:].shape, len(STUDENT), requires_grad=True)
    taught.loss(logits, seen).backward()
    assert logits.grad is not None
    return [[bool(token.any()) for token in row] for row in logits.grad]


def test_padding_and_what_follows_a_token_that_it_lacks_teach_nothing() -> None:
    seen = batch(["x", "+", "\\beta", "x"], ["y"])
    assert counted(teacher()[0], seen) == [[True, True, False, False, False], [True, True, False, False, False]]


def test_nothing_is_learned_beyond_the_longest_formula_of_the_teacher() -> None:
    assert counted(teacher(max_tokens=2)[0], batch(["x", "+", "y"])) == [[True, True, False, False]]


def test_a_batch_of_which_it_knows_nothing_has_no_loss() -> None:
    assert counted(teacher()[0], batch(["\\beta"])) == [[False, False]]


def test_a_teacher_that_sees_other_pictures_is_refused_with_the_field_and_the_remedy(tmp_path: Path) -> None:
    spec = {**SPEC.to_dict(), "glyph_height": 14.0}
    write_model(tmp_path, changes={"preprocess": spec})
    with pytest.raises(ConfigError, match=r"trained with glyph_height=14\.0, this job has 16\.0; set glyph_height=14"):
        read_teacher(tmp_path, SPEC)
    write_model(tmp_path, changes={"preprocess": {**SPEC.to_dict(), "std": 0.5}})
    with pytest.raises(ConfigError, match=r"std=0\.5, this job has 0\.25; take another"):
        read_teacher(tmp_path, SPEC)
    with pytest.raises(ConfigError, match=r"teacher: .*nothing has neither model\.json nor"):
        read_teacher(tmp_path / "nothing", SPEC)


def test_weights_of_other_sizes_are_refused(tmp_path: Path) -> None:
    start = read_teacher(write_model(tmp_path), SPEC)
    with pytest.raises(ConfigError, match=r"teacher: fast-0123 can't be built"):
        Teacher(replace(start, sizes={**SMALL["fast"], "width": 96}), STUDENT, CPU)


def with_teacher(folder: Path, checkpoints: Path, **more: Any) -> Any:
    """A run of test_resume that has a teacher of another recognizer."""
    made = trainer(settings(teacher="satrn", **more), folder, checkpoints)
    torch.manual_seed(5)
    network = build("satrn", len(made.vocabulary), 20, SMALL["satrn"])
    start = Start("satrn-1", "satrn", SMALL["satrn"], made.vocabulary, 20, SPEC, network.state_dict())
    made.teacher = Teacher(start, made.vocabulary, CPU)
    return made


def test_a_taught_run_comes_closer_to_its_teacher_and_resumes_exactly(folder: Path, tmp_path: Path) -> None:
    alone = trainer(settings(epochs=2), folder, tmp_path / "alone")
    assert alone.run(StopSignal())
    whole = with_teacher(folder, tmp_path / "whole", epochs=2)
    assert whole.run(StopSignal())
    seen = next(iter(whole.training.epoch(0, 0)))
    with torch.no_grad():
        taught, untaught = (
            float(whole.teacher.loss(made.model.eval()(seen.images, seen.sizes, seen.tokens[:, :-1]), seen))
            for made in (whole, alone)
        )
    assert taught < untaught

    assert not with_teacher(folder, tmp_path / "stopped", epochs=2).run(StopAfter(3))
    resumed = with_teacher(folder, tmp_path / "stopped", epochs=2)
    assert resumed.run(StopSignal())
    assert torch.equal(weights(resumed), weights(whole))


def test_a_teacher_that_knows_no_token_is_refused() -> None:
    """What begins, ends and pads a label is common to all, and no knowledge."""
    network = make("fast", OLD, 1)
    start = Start("fast-1", "fast", SMALL["fast"], OLD, 20, SPEC, network.state_dict())
    with pytest.raises(ConfigError, match="fast-1 knows none of the 2 tokens of the labels"):
        Teacher(start, Vocabulary.from_tokens(["\\beta", "\\delta"]), CPU)
    assert set(Teacher(start, STUDENT, CPU).knows) == {"x", "y", "+"}
