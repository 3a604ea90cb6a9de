"""Where a network looks: a real one with random weights, for what must hold whatever they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import inference
from recognizer.evaluation.attention import AttentionReader, read_attention
from recognizer.latex import Vocabulary
from recognizer.models.layers import AdditiveAttention
from tests.support.tiny_model import build_tiny_model, formula_picture
from tests.support.tiny_recognizer import TOKENS, VARIANTS, write_start


def write_model(folder: Path, name: str) -> Path:
    return write_start(folder, name, Vocabulary.from_labels([TOKENS]), 3)


@pytest.fixture(params=sorted(VARIANTS))
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> AttentionReader:
    found = read_attention(write_model(tmp_path / "model", request.param))
    assert found is not None
    return found


def test_each_token_shares_out_its_attention_over_the_picture(reader: AttentionReader) -> None:
    image = inference.preprocess(formula_picture(1), reader.spec)
    weights = reader.weights(image, ("x", "+", "y"))
    assert len(weights) == 4, "three tokens and the end"
    assert weights.sum(axis=(1, 2)) == pytest.approx(np.ones(4), abs=1e-5)
    high, wide = reader.model.stride
    assert np.all(weights[:, :, -(-image.shape[1] // wide) :] < 1e-6), "nothing beyond the picture"
    assert weights.shape[1] * high >= image.shape[0]


def test_a_map_is_the_picture_with_colour_where_it_looked(reader: AttentionReader) -> None:
    rgb = formula_picture(1)
    seen = reader.map(rgb, ("x", "+"), 2)
    assert seen is not None and seen.shape == (*inference.preprocess(rgb, reader.spec).shape, 3)
    assert seen.dtype == np.uint8 and (seen[..., 0] > seen[..., 2]).any(), "orange somewhere"


def test_tokens_that_the_network_does_not_know_have_no_map(reader: AttentionReader) -> None:
    assert reader.map(formula_picture(1), ("x", "unknown"), 0) is None
    assert reader.map(formula_picture(1), ("x",) * 21, 0) is None


@pytest.mark.parametrize("name", ["fast", "satrn", "fast with coverage"])
def test_it_is_what_the_network_itself_applies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The mean over heads of what goes through torch's attention, which is given the identity as values to show it."""
    reader = read_attention(write_model(tmp_path / "model", name))
    assert reader is not None
    image = inference.preprocess(formula_picture(1), reader.spec)
    weights = reader.weights(image, ("x", "+"))
    applied = torch.nn.functional.scaled_dot_product_attention
    seen: list[torch.Tensor] = []

    def spy(query: torch.Tensor, keys: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        if query.shape[2] == 3 != keys.shape[2]:  # three tokens over the memory
            places = torch.eye(keys.shape[2]).expand(*keys.shape[:2], -1, -1)
            seen.append(applied(query, keys, places, arguments[1], **options))
        return applied(query, keys, *arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    reader.weights(image, ("x", "+"))
    assert weights.reshape(3, -1) == pytest.approx(seen[-1].mean(dim=1)[0].numpy(), abs=1e-5)


@pytest.mark.parametrize("name", ["attention", "srn"])
def test_it_is_what_an_additive_attention_applies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What comes out for the identity as values."""
    reader = read_attention(write_model(tmp_path / "model", name))
    assert reader is not None
    image = inference.preprocess(formula_picture(1), reader.spec)
    forward, seen = AdditiveAttention.forward, []

    def spy(self: AdditiveAttention, x: torch.Tensor, keys: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        values, mask = rest
        seen.append(forward(self, x, keys, torch.eye(keys.shape[1])[None], mask)[0])
        return forward(self, x, keys, values, mask)

    monkeypatch.setattr(AdditiveAttention, "forward", spy)
    weights = reader.weights(image, ("x", "+"))
    assert weights.reshape(3, -1) == pytest.approx(torch.cat(seen)[:3].numpy(), abs=1e-6)


def test_a_recognizer_that_looks_in_another_way_has_nothing_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recognizer.evaluation.attention._additive", lambda model: [])
    assert read_attention(write_model(tmp_path / "model", "srn")) is None


def test_a_model_without_weights_has_nothing_to_show(tmp_path: Path) -> None:
    assert read_attention(build_tiny_model(tmp_path / "model")) is None
