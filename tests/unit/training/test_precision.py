"""A step that isn't finite is skipped, and training stops with words after too many."""

from __future__ import annotations

import pytest
import torch

from recognizer.training.precision import DTYPES, MAX_SKIPPED, NotFiniteError, Precision


def setup(name: str) -> tuple[torch.nn.Linear, torch.optim.Optimizer, Precision]:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), Precision(name, torch.device("cpu"), clip_norm=1.0)


@pytest.mark.parametrize(
    ("capabilities", "name"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_bf16": False, "avx2": True}, "fp32")],
)
def test_auto_is_bf16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], name: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    precision = Precision("auto", torch.device("cpu"), clip_norm=1.0)
    assert (precision.name, precision.dtype) == (name, DTYPES[name])


def no_skip() -> str:
    raise AssertionError("the step was finite")


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_L6_an_injected_inf_skips_one_step(name: str) -> None:
    model, optimizer, precision = setup(name)
    before = model.weight.clone()
    assert not precision.step(model(torch.ones(1, 4)).sum() * torch.inf, model, optimizer, str)
    assert torch.equal(model.weight, before)
    assert precision.step(model(torch.ones(1, 4)).sum(), model, optimizer, no_skip)
    assert not torch.equal(model.weight, before)


def test_many_in_a_row_stop_with_the_remedy() -> None:
    model, optimizer, precision = setup("fp32")
    with pytest.raises(NotFiniteError, match=r"lower learning_rate.* In the last one: in x"):
        for _ in range(MAX_SKIPPED):
            precision.step(model(torch.ones(1, 4)).sum() * torch.nan, model, optimizer, lambda: "in x")


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_L6_the_gradient_is_clipped_after_it_was_unscaled(name: str) -> None:
    """Clipped while scaled (by 65,536), a gradient would be cut to next to nothing."""
    model, optimizer, precision = setup(name)
    before = model.weight.clone()
    precision.step((model(torch.ones(1, 4)) * 0.1).sum(), model, optimizer, no_skip)
    assert torch.allclose(before - model.weight, torch.full((1, 4), 0.1 * 0.1), atol=1e-5)
