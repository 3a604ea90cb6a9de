"""The training benchmark compares the ways to the same gradients, and adds up its stages."""

from __future__ import annotations

import re
from types import SimpleNamespace

import torch

import inference
from bench import precisions, training
from bench.stages import Laps
from bench.teacher_forcing import PAD, parallel, step_by_step, with_cache
from recognizer.models import build, layers
from recognizer.training.loss import sequence_loss
from tests.support.tiny_recognizer import SMALL


def test_all_ways_of_teacher_forcing_give_the_same_gradients():
    torch.manual_seed(0)
    model = build("satrn", 20, 6, SMALL["satrn"])
    images, sizes = torch.rand(2, 1, 32, 64), torch.tensor([[32, 64], [32, 40]])
    tokens = torch.randint(1, 20, (2, 6))
    gradients = []
    for forward in (parallel, step_by_step, with_cache):
        model.zero_grad()
        loss, _ = sequence_loss(forward(model, images, sizes, tokens[:, :-1]), tokens[:, 1:], PAD)
        loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    for one, *others in zip(*gradients, strict=True):
        assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for other in others)


def test_each_lap_is_added_to_its_stage(monkeypatch):
    monkeypatch.setattr(
        "bench.stages.time", SimpleNamespace(perf_counter=iter([0, 1, 3, 7]).__next__, process_time=int)
    )
    laps = Laps()
    for stage in ("first", "second", "first"):
        laps.lap(stage)
    assert laps.clock == {"first": 5, "second": 2}


def test_every_precision_takes_a_step_and_attention_is_ours_again(monkeypatch):
    monkeypatch.setattr(precisions, "BATCH", 1)
    monkeypatch.setattr(precisions, "LINE", (16, 32))
    ours = layers._attention_in_parts
    took = precisions.measure(1)
    assert list(took) == ["fp32", "bf16, fused attention", "bf16"] and min(took.values()) > 0
    assert layers._attention_in_parts is ours


def test_decoding_is_compared_at_every_length(monkeypatch, capsys):
    """The part's own command, at lengths that take no time."""
    monkeypatch.setattr(training, "LENGTHS", (2, 4))
    monkeypatch.setattr(inference, "default_threads", torch.get_num_threads)  # it sets them, and others run after it
    assert training.main(["--only", "decoding", "--quick", "--give-back"]) == 0
    rate = r"([\d.]+)"
    line = (
        rf"satrn, (.+), batches of 4, pictures a second in training: all at once {rate}, as a job trains, in \w+, "
        rf"{rate}; one by one {rate}, with a cache {rate}: a job is {rate} and {rate} times as fast"
    )
    told = re.findall(line, capsys.readouterr().out)
    assert [what for what, *_ in told[:2]] == ["2 tokens", "4 tokens"]
    assert re.fullmatch(r"embedded formulas of \d+ to \d+ tokens, \d+ on average", told[2][0])
    assert all(float(number) > 0 for _, *row in told for number in row)
