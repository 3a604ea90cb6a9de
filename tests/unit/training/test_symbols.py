"""The first lessons: labels lie in the right cells, symbols are learned, a stopped lesson goes on exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import inference
from recognizer.latex import Vocabulary
from recognizer.models import build
from recognizer.models.fast import FastRecognizer
from recognizer.synth.glyphs import GlyphBank, make_bank
from recognizer.training import job
from recognizer.training.checkpoint import CheckpointError
from recognizer.training.loop import Trainer
from recognizer.training.precision import MAX_SKIPPED, NotFiniteError, Precision
from recognizer.training.stop import StopSignal
from recognizer.training.symbols import CHECKPOINT, CLIP_NORM, SymbolLessons
from tests.support.tiny_recognizer import SMALL
from tests.support.tiny_training import settings, write_pictures
from tests.unit.training.test_resume import StopAfter

SPEC = inference.PreprocessSpec(glyph_height=14)
VOCABULARY = Vocabulary.from_tokens(["x", "+", "\\sum", "8", "^", "_", "{", "}", "\\frac"])
MINUTES = 5.0  # between two checkpoints


@pytest.fixture(scope="module")
def bank() -> GlyphBank:
    return make_bank(VOCABULARY.tokens, [], seed=0)


def lessons(bank: GlyphBank, width: int = SMALL["fast"]["width"]) -> SymbolLessons:
    torch.manual_seed(0)
    sizes = {**SMALL["fast"], "width": width}
    model = build("fast", len(VOCABULARY), 20, sizes)
    precision = Precision("fp32", torch.device("cpu"), CLIP_NORM)
    return SymbolLessons(model, "fast", VOCABULARY, bank, SPEC, 0, precision, {"sizes": sizes})


def weights(made: SymbolLessons) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in [*made.model.parameters(), *made.head.parameters()]])


def test_a_labelled_cell_has_ink_and_the_share_of_labels_is_right(bank: GlyphBank) -> None:
    images, sizes, labels = lessons(bank)._batch(5)
    assert images.shape[2:] == (64, 192)
    assert sizes.tolist() == [[64, 192]] * 8
    down, right = labels.shape[1:]
    cells = images[:, 0].reshape(8, down, 64 // down, right, 192 // right).amax(dim=(2, 4))  # (B, h, w)
    drawn = labels != VOCABULARY.pad
    assert 20 < int(drawn.sum()) < 8 * 20
    inked = (cells[drawn] * SPEC.std + SPEC.mean) > 0.3
    assert inked.float().mean() > 0.85, "a ring or a bracket may be empty in the middle"


def test_features_of_another_stride_are_refused(bank: GlyphBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FastRecognizer, "stride", (8, 8))
    with pytest.raises(ValueError, match=r"FastRecognizer.features: cells \(8, 4, 24\) .* they are \(8, 8, 24\) and D"):
        lessons(bank)


def test_symbols_are_learned(bank: GlyphBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = lessons(bank)
    assert made.run(150, tmp_path, StopSignal(), MINUTES)
    last = [line for line in capsys.readouterr().out.splitlines() if "symbols:accuracy" in line][-1]
    assert float(last.split("symbols:accuracy=")[1].split(";")[0]) > 0.75, last


@torch.no_grad()
def test_the_decoder_begins_with_what_the_encoder_has_learned(bank: GlyphBank, tmp_path: Path) -> None:
    made = lessons(bank)
    with torch.enable_grad():
        assert made.run(3, tmp_path, StopSignal(), MINUTES)
    assert isinstance(made.model, FastRecognizer)
    decoder = made.model.decoder
    assert torch.equal(decoder.output.weight, made.head.weight)
    assert decoder.output.bias[VOCABULARY.pad] == 0
    query, first, second = torch.randn(3, 1, 1, SMALL["fast"]["width"])  # each (B, 1, D): one cell to look at
    for layer in decoder._decoder_layers():
        attention = layer.memory_attention
        seen = [attention.attend(query, *attention.keys_values(cell)) for cell in (first, second)]
        torch.testing.assert_close(seen[0] - seen[1], first - second, atol=1e-5, rtol=0)


def test_a_stopped_lesson_goes_on_as_if_nothing_had_happened(bank: GlyphBank, tmp_path: Path) -> None:
    whole = lessons(bank)
    assert whole.run(6, tmp_path / "whole", StopSignal(), MINUTES)
    assert not lessons(bank).run(6, tmp_path, StopAfter(4), MINUTES)
    resumed = lessons(bank)
    assert resumed.run(6, tmp_path, StopSignal(), MINUTES)
    assert torch.equal(weights(whole), weights(resumed))


def test_a_stopped_lesson_of_other_sizes_is_refused(bank: GlyphBank, tmp_path: Path) -> None:
    """As a run that has begun with formulas refuses it."""
    assert not lessons(bank).run(6, tmp_path, StopAfter(2), MINUTES)
    wider = lessons(bank, 2 * SMALL["fast"]["width"])
    with pytest.raises(
        CheckpointError, match=r"symbols\.pt was made with another sizes \(width 48, now 96\): use the same"
    ):
        wider.run(6, tmp_path, StopSignal(), MINUTES)


class KilledAfter(StopAfter):
    """Ends the lessons there and then."""

    def __bool__(self) -> bool:
        if super().__bool__():
            raise KeyboardInterrupt
        return False


def test_a_killed_lesson_goes_on_from_its_last_checkpoint(
    bank: GlyphBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kill leaves no time to write one: it has been written before."""
    whole = lessons(bank)
    assert whole.run(6, tmp_path / "whole", StopSignal(), MINUTES)
    with pytest.raises(KeyboardInterrupt):
        lessons(bank).run(6, tmp_path, KilledAfter(4), checkpoint_minutes=0)
    resumed = lessons(bank)
    assert resumed.run(6, tmp_path, StopSignal(), MINUTES)
    assert "resumed the symbols at step 2" in capsys.readouterr().out
    assert torch.equal(weights(whole), weights(resumed))


def test_a_job_killed_before_its_first_checkpoint_keeps_its_lessons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first step on formulas: the next checkpoint would be minutes away."""
    data, checkpoints = tmp_path / "data", tmp_path / "checkpoints"
    data.mkdir()
    folders = job.Folders(tmp_path / "model", tmp_path / "output", checkpoints, write_pictures(data), None)
    trains = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda made, stop: trains(made, KilledAfter(1)))
    with pytest.raises(KeyboardInterrupt):
        job.run(settings(symbol_steps=3), folders, StopSignal())
    assert "symbols, step" in capsys.readouterr().out and not (checkpoints / CHECKPOINT).exists()
    monkeypatch.setattr(Trainer, "run", lambda made, stop: trains(made, StopAfter(1)))
    job.run(settings(symbol_steps=3), folders, StopSignal())
    told = capsys.readouterr().out
    assert "resumed at epoch 1, batch 0, step 0" in told and "symbols, step" not in told


@pytest.mark.parametrize(
    ("weight", "module"),
    [("head.bias", "head (Linear)"), ("model.conv.downs.0.bias", "model.conv.downs.0 (ScaledConv)")],
)
def test_a_step_that_is_not_finite_names_its_module(
    bank: GlyphBank, tmp_path: Path, capsys: pytest.CaptureFixture[str], weight: str, module: str
) -> None:
    made = lessons(bank)
    with torch.no_grad():
        made.trained.get_parameter(weight).fill_(torch.inf)
    with pytest.raises(NotFiniteError) as raised:
        made.run(MAX_SKIPPED + 1, tmp_path, StopSignal(), MINUTES)
    last, reason = f"step {MAX_SKIPPED - 1} of the lessons on symbols", f"first in the output of {module}"
    assert str(raised.value).endswith(f"In the last one: {last}, {reason}")
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(told) == MAX_SKIPPED, "once a skip"
    assert told[-1] == f"warning: {last} skipped, its gradient isn't finite: {reason}"


def test_what_sticks_out_of_the_canvas_is_cut_off(bank: GlyphBank) -> None:
    made = lessons(bank)
    strips = [made._strip(np.random.default_rng(seed)) for seed in range(60)]
    assert all(picture.shape == (64, 192) for picture, _ in strips)
    assert any(x >= 192 for _, glyphs in strips for _, _, x in glyphs)
