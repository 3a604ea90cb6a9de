"""Attention put together from its parts, as half precision on a CPU takes it, is torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from recognizer.models.layers import Attention, _attention_in_parts, additive_mask


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_attention_in_parts_is_torchs_own(causal: bool, masked: bool) -> None:
    torch.manual_seed(0)
    query, keys, values = torch.randn(3, 2, 4, 7, 8)  # each (B, heads, N, D / heads)
    keep = torch.arange(7) < torch.tensor([[4], [7]])
    mask = additive_mask(keep, torch.float32)[:, None, None] if masked and not causal else None
    own = F.scaled_dot_product_attention(query, keys, values, mask, is_causal=causal, scale=1.0)
    torch.testing.assert_close(_attention_in_parts(query, keys, values, mask, 0.0, causal), own, atol=1e-6, rtol=0)


def test_half_precision_on_a_cpu_takes_the_parts_and_agrees_with_single() -> None:
    torch.manual_seed(0)
    attention, x = Attention(16, 2, 0.0), torch.randn(2, 5, 16)
    with torch.profiler.profile() as seen, torch.autocast("cpu", torch.bfloat16):
        half = attention.attend(x, *attention.keys_values(x), causal=True)
    assert not [event.key for event in seen.key_averages() if "scaled_dot_product" in event.key]
    single = attention.attend(x, *attention.keys_values(x), causal=True)
    torch.testing.assert_close(half.float(), single, atol=0.02, rtol=0)


def test_attention_in_parts_drops_out_a_share_of_the_weights() -> None:
    torch.manual_seed(0)
    query, keys = torch.randn(2, 1, 1, 200, 8)
    ones = torch.ones(1, 1, 200, 1)
    kept = _attention_in_parts(query, keys, ones, None, 0.5, False)
    assert kept.std() > 0.01 and abs(float(kept.mean()) - 1) < 0.05
