"""What must hold for every recognizer of the registry, whatever is inside."""

from __future__ import annotations

import pytest
import torch

from recognizer.models import RECURRENT, REGISTRY, FormulaRecognizer, build
from recognizer.training.loss import sequence_loss
from tests.support.tiny_recognizer import SMALL

VOCABULARY, MAX_TOKENS = 24, 20
RECOGNIZERS = sorted(REGISTRY)


@pytest.fixture(params=RECOGNIZERS)
def model(request: pytest.FixtureRequest) -> FormulaRecognizer:
    torch.manual_seed(1)
    built = build(request.param, VOCABULARY, MAX_TOKENS, SMALL[request.param]).eval()
    for parameter in built.parameters():  # biases and norms start at 0 and 1, where mistakes can hide
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return built


def pictures(*sizes: tuple[int, int], canvas: tuple[int, int] = (48, 160)) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise pictures of these sizes on one canvas; what is beside them is noise as well."""
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(len(sizes), 1, *canvas, generator=generator)
    for row, (height, width) in enumerate(sizes):
        own = torch.Generator().manual_seed(height * 1000 + width)
        images[row, 0, :height, :width] = torch.rand(height, width, generator=own)
    return images, torch.tensor(sizes)


def tokens(rows: int, count: int = 9) -> torch.Tensor:
    ids = torch.randint(3, VOCABULARY, (rows, count), generator=torch.Generator().manual_seed(3))
    ids[:, 0] = 1
    return ids


def step_by_step(model: FormulaRecognizer, memory: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    past, logits = model.prefix(memory), []
    for column in ids.T:
        scores, present = model.step(column, past, memory)
        past = torch.cat([past, present[None]])
        logits.append(scores)
    return torch.stack(logits, dim=1)


@torch.no_grad()
def test_teacher_forced_equals_step_by_step(model: FormulaRecognizer) -> None:
    images, sizes = pictures((48, 160), (33, 90))
    memory = model.encode(images, sizes)
    ids = tokens(2)
    torch.testing.assert_close(step_by_step(model, memory, ids), model.decode(memory, ids), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("model", RECURRENT, indirect=True)
def test_a_token_that_is_not_given_is_the_likeliest_of_the_step_before(model: FormulaRecognizer) -> None:
    """Scheduled sampling, against teacher forcing with the very tokens that were fed."""
    images, sizes = pictures((48, 160), (33, 90))
    ids = tokens(2)
    given = torch.tensor([[True, True, False, False, True, False, True, True, False], [True] * 9])
    sampled = model(images, sizes, ids, given)
    fed = torch.where(given, ids, sampled.argmax(dim=2).roll(1, dims=1))
    assert not torch.equal(fed[0], ids[0])
    torch.testing.assert_close(sampled, model(images, sizes, fed), atol=1e-5, rtol=0)
    torch.testing.assert_close(sampled[1], model(images, sizes, ids)[1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_and_batch_mates_change_nothing(model: FormulaRecognizer) -> None:
    ids = tokens(3)
    together = model(*pictures((30, 70), (48, 160), (17, 100)), ids)
    alone = model(*pictures((30, 70), canvas=(32, 96)), ids[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_later_tokens_do_not_change_earlier_logits(model: FormulaRecognizer) -> None:
    images, sizes = pictures((30, 70))
    ids = tokens(1)
    longer = torch.cat([ids, torch.full((1, 4), 5)], dim=1)
    torch.testing.assert_close(model(images, sizes, longer)[:, :9], model(images, sizes, ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_an_image_without_a_batch_and_one_pixel_are_enough(name: str) -> None:
    model = build(name, VOCABULARY, MAX_TOKENS, SMALL[name]).eval()
    images, sizes = pictures((1, 1), canvas=(16, 32))
    assert torch.isfinite(model(images, sizes, tokens(1))).all()


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_under_autocast_a_row_of_padding_stays_finite(name: str) -> None:
    """A batch mate of one pixel in a wide canvas: nearly all of its memory is masked (mixed precision gave NaN)."""
    model = build(name, VOCABULARY, MAX_TOKENS, SMALL[name]).train()
    images, sizes = pictures((1, 1), (48, 160))
    ids = tokens(2)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images, sizes, ids)
    loss, _ = sequence_loss(logits, ids, pad=0)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_overfits_8_samples_whatever_the_ids_are(name: str) -> None:
    """Accuracy 1.0 on 8 samples, and as well with every token id renumbered (SRN once learnt the padding)."""
    images, sizes = pictures(*[(24 + row, 60 + 8 * row) for row in range(8)])
    ids = tokens(8, 7)
    ids[:, -1] = 2
    renumbered = torch.cat([torch.arange(3), torch.randperm(VOCABULARY - 3) + 3])[ids]
    for labels in (ids, renumbered):
        torch.manual_seed(4)
        model = build(name, VOCABULARY, MAX_TOKENS, SMALL[name])
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(150):
            loss, count = sequence_loss(model(images, sizes, labels[:, :-1]), labels[:, 1:], pad=0)
            (loss / count).backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            assert (model(images, sizes, labels[:, :-1]).argmax(dim=2) == labels[:, 1:]).all()


def test_an_unknown_recognizer_or_size_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'resnet' is not one of"):
        build("resnet", VOCABULARY, MAX_TOKENS, {})
    with pytest.raises(ValueError, match="widht"):
        build("fast", VOCABULARY, MAX_TOKENS, {"widht": 3})


@pytest.mark.parametrize(
    "name, sizes, message",
    [
        ("attention", {"width": 50}, "width 50 must be a multiple of 4"),
        ("fast", {"width": 50}, "width 50 must be a multiple of heads"),
        ("satrn", {"heads": 7}, r"width 256 must be even and a multiple of heads \(7\)"),
        ("srn", {"width": 50}, "width 50 must be a multiple of heads"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(name: str, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, VOCABULARY, MAX_TOKENS, sizes)
