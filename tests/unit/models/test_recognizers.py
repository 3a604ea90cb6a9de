"""What must hold for every recognizer of the registry, whatever is inside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from inference import Recognizer
from recognizer.latex import Vocabulary
from recognizer.models import RECURRENT, REGISTRY, FormulaRecognizer, build, make_registry
from recognizer.models.fast import FastRecognizer
from recognizer.models.layers import Coverage
from recognizer.training.loss import sequence_loss
from recognizer.training.validate import decode
from recognizer.training.warmstart import token_axes
from tests.support.tiny_recognizer import SMALL, VARIANTS, build_variant

ROOT = Path(__file__).resolve().parents[3]
VOCABULARY, MAX_TOKENS = 24, 20
RECOGNIZERS = sorted(REGISTRY)


def random_model(variant: str) -> FormulaRecognizer:
    built = build_variant(variant, VOCABULARY, MAX_TOKENS, seed=1)
    for parameter in built.parameters():  # biases and norms start at 0 and 1, where mistakes can hide
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return built


@pytest.fixture(params=sorted(VARIANTS))
def model(request: pytest.FixtureRequest) -> FormulaRecognizer:
    return random_model(request.param)


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
def test_O1_teacher_forced_equals_step_by_step(model: FormulaRecognizer) -> None:
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
@pytest.mark.parametrize("training", [False, True], ids=["served", "trained"])
def test_L2_padding_and_batch_mates_change_nothing(model: FormulaRecognizer, training: bool) -> None:
    """In training too: a batch norm's running statistics would hide there that the average of the weights has none."""
    model.train(training)
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
def test_O3_an_image_without_a_batch_and_one_pixel_are_enough(name: str) -> None:
    model = build(name, VOCABULARY, MAX_TOKENS, SMALL[name]).eval()
    images, sizes = pictures((1, 1), canvas=(16, 32))
    assert torch.isfinite(model(images, sizes, tokens(1))).all()


@pytest.mark.parametrize("size", [(1, 1), (0, 0)], ids=["one pixel", "nothing"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", RECOGNIZERS)
def test_L6_under_autocast_a_row_of_padding_stays_finite(name: str, dtype: torch.dtype, size: tuple[int, int]) -> None:
    """A batch mate of one pixel, or of none, in a wide canvas: its memory is masked (mixed precision gave NaN)."""
    torch.manual_seed(5)
    model = build(name, VOCABULARY, MAX_TOKENS, SMALL[name]).train()
    images, sizes = pictures(size, (48, 160))
    ids = tokens(2)
    with torch.autocast("cpu", dtype):
        logits = model(images, sizes, ids)
    loss, _ = sequence_loss(logits, ids, pad=0)
    loss.backward()
    assert torch.isfinite(logits).all() and torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


class _Softmaxes(TorchFunctionMode):
    """Notes the types that softmaxes and cross entropies are given."""

    def __init__(self) -> None:
        self.seen: list[torch.dtype] = []

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if "softmax" in getattr(function, "__name__", "") or function is F.cross_entropy:
            self.seen.append(arguments[0].dtype)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_L6_under_autocast_softmax_and_loss_are_in_fp32(model: FormulaRecognizer, dtype: torch.dtype) -> None:
    images, sizes = pictures((48, 160), (33, 90))
    ids = tokens(2)
    with _Softmaxes() as softmaxes, torch.autocast("cpu", dtype):
        loss, _ = sequence_loss(model(images, sizes, ids[:, :-1]), ids[:, 1:], pad=0)
    assert len(softmaxes.seen) > 1 and set(softmaxes.seen) == {torch.float32} and loss.dtype == torch.float32


def labels_of_unlike_lengths() -> tuple[torch.Tensor, list[list[int]]]:
    """Eight labels (8, T) padded with 0, <bos> 1 and <eos> 2; and what stands between."""
    inner = [tokens(8, 8)[row, 1 : 3 + row % 5].tolist() for row in range(8)]
    rows = [torch.tensor([1, *ids, 2]) for ids in inner]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), inner


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_L5_overfits_8_samples_of_unlike_lengths(variant: str) -> None:
    """Accuracy 1.0 on 8 samples as a server reads them, token by token to their end (SRN once learnt the padding)."""
    images, sizes = pictures(*[(24 + row, 60 + 8 * row) for row in range(8)])
    labels, inner = labels_of_unlike_lengths()
    torch.manual_seed(4)
    name, layers = VARIANTS[variant]
    model = build(name, VOCABULARY, MAX_TOKENS, layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss, count = sequence_loss(model(images, sizes, labels[:, :-1]), labels[:, 1:], pad=0)
        (loss / count).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    vocabulary = Vocabulary.from_labels([[f"\\token{chr(97 + i)}" for i in range(VOCABULARY - 3)]])
    with torch.no_grad():
        decoded = decode(model, model.encode(images, sizes), vocabulary, MAX_TOKENS)
    assert [ids for ids, _ in decoded] == [[*ids, vocabulary.eos] for ids in inner]


@torch.no_grad()
@pytest.mark.parametrize("name", ["fast", "satrn"])
def test_coverage_changes_nothing_until_it_has_learned(name: str) -> None:
    """So a model without it is a start for one with it."""
    _, sizes = VARIANTS[f"{name} with coverage"]
    covered = build(name, VOCABULARY, MAX_TOKENS, sizes).eval()
    plain = build(name, VOCABULARY, MAX_TOKENS, sizes | {"coverage": False}).eval()
    new = covered.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert new and all(".coverage." in weight for weight in new)
    seen = *pictures((48, 160), (33, 90)), tokens(2)
    torch.testing.assert_close(covered(*seen), plain(*seen), atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_earlier_tokens_looked_at_can_be_lowered_for_the_next() -> None:
    heads, places = 2, 5
    coverage = Coverage(heads)
    torch.nn.init.constant_(coverage.mix.weight, 1 / heads)
    torch.nn.init.constant_(coverage.hidden.weight, 1.0)
    torch.nn.init.constant_(coverage.out.weight, -1.0)
    assert coverage.hidden.bias is not None
    torch.nn.init.zeros_(coverage.hidden.bias)
    looked = F.one_hot(torch.tensor([1, 1, 3]), places).float().expand(1, heads, 3, places)
    refinement = coverage.of_all(looked)[0, 0]  # (T, N)
    assert refinement[0].eq(0).all(), "nothing was read before the first token"
    assert refinement[1].argmin() == 1 and refinement[1, 3] == 0
    assert refinement[2].argmin() == 1 and refinement[2, 1] < refinement[1, 1], "read twice, lowered more"


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_L5_renumbered_tokens_change_nothing(name: str) -> None:
    """All ids, the special ones too: with the weights renumbered alike, loss and gradients are the same."""
    images, sizes = pictures(*[(24 + row, 60 + 8 * row) for row in range(8)])
    labels, _ = labels_of_unlike_lengths()
    order = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(6))  # old id -> new id
    model, renumbered = random_model(name), random_model(name)
    state = renumbered.state_dict()
    axes = token_axes(renumbered, name, VOCABULARY, MAX_TOKENS, SMALL[name])
    for weight, axis in axes.items():
        state[weight] = state[weight].index_select(axis, order.argsort())
    renumbered.load_state_dict(state)

    def loss_of(network: FormulaRecognizer, ids: torch.Tensor, pad: int) -> torch.Tensor:
        loss, _ = sequence_loss(network(images, sizes, ids[:, :-1]), ids[:, 1:], pad)
        loss.backward()
        return loss.detach()

    losses = loss_of(model, labels, 0), loss_of(renumbered, order[labels], int(order[0]))
    torch.testing.assert_close(*losses, atol=1e-3, rtol=1e-5)
    own = dict(model.named_parameters())
    for weight, parameter in renumbered.named_parameters():
        expected = own[weight].grad
        if expected is not None and parameter.grad is not None:
            expected = expected.index_select(axes[weight], order.argsort()) if weight in axes else expected
            torch.testing.assert_close(parameter.grad, expected, atol=2e-3, rtol=1e-3)


MINE = """
from pydantic import BaseModel

from recognizer.models.common import TransformerRecognizer
from recognizer.models.conv import CellEncoder
from recognizer.models.layers import TransformerDecoder, size_mask
from torch import nn


class Sizes(BaseModel):
    width: int = 32


class Mine(TransformerRecognizer):
    name = "mine"
    Sizes = Sizes
    stride = (16, 8)

    def __init__(self, vocabulary, max_tokens, sizes):
        super().__init__()
        self.conv = CellEncoder(8, sizes.width)
        self.norm = nn.LayerNorm(sizes.width)
        self.decoder = TransformerDecoder(vocabulary, sizes.width, 1, 2, sizes.width, 0.0, max_tokens)

    def encode(self, images, sizes):
        x = self.features(images, sizes)
        return self.decoder.memory(x.flatten(1, 2), size_mask(sizes, *x.shape[1:3], self.stride).flatten(1))
"""


@pytest.mark.slow
def test_one_file_adds_a_recognizer(tmp_path: Path) -> None:
    """It is trained, exported and read with, by a copy of the code with one file more."""
    shutil.copytree(ROOT / "code", tmp_path / "code", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "container", tmp_path / "container", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "code" / "recognizer" / "models" / "mine.py").write_text(MINE)
    job = "recognizer=mine synthetic=40 epochs=1 width=48 validation_share=0.2 workers=0 threads=1 max_minutes=1"
    done = subprocess.run(
        [sys.executable, "-m", "container.local_job", "--out", "out", "--hp", *job.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ".:code"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    model = Recognizer.load(tmp_path / "out" / "ml" / "model")
    assert model.check_golden() > 0 and model.version.startswith("mine-")


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "decoder"), [("attention", "decoder"), ("fast", "decoder"), ("satrn", "decoder"), ("srn", "semantic")]
)
def test_encoder_and_decoder_have_widths_of_their_own(name: str, decoder: str) -> None:
    like, slim = (build(name, VOCABULARY, MAX_TOKENS, {**SMALL[name], "decoder_width": d}).eval() for d in (48, 32))
    assert {key: value.shape for key, value in like.state_dict().items()} == {
        key: value.shape for key, value in random_model(name).state_dict().items()
    }

    def count(model: FormulaRecognizer, part: str) -> int:
        return sum(parameter.numel() for parameter in model.get_submodule(part).parameters())

    assert count(slim, decoder) < 0.7 * count(like, decoder) and count(slim, "conv") == count(like, "conv")
    images, sizes = pictures((48, 160), (33, 90))
    memory, ids = slim.encode(images, sizes), tokens(2)
    torch.testing.assert_close(step_by_step(slim, memory, ids), slim.decode(memory, ids), atol=1e-5, rtol=0)
    slim.adopt_symbols(torch.nn.Linear(48, VOCABULARY))


@torch.no_grad()
@pytest.mark.parametrize("name", REGISTRY)
def test_after_the_first_lessons_it_names_what_it_looks_at(name: str) -> None:
    """Of pictures of one cell, the logits go with those of the head that was taught to name cells."""
    torch.manual_seed(1)
    model = build(name, VOCABULARY, MAX_TOKENS, SMALL[name]).eval()
    if type(model).adopt_symbols is FormulaRecognizer.adopt_symbols:
        assert name not in ("attention", "fast", "satrn", "srn"), "these begin with what they have learned"
        pytest.skip("its decoder begins with nothing")
    head = torch.nn.Linear(model.features(*pictures((16, 32))).shape[3], VOCABULARY)
    images = torch.randn(200, 1, *model.stride)
    sizes = torch.tensor([model.stride]).expand(200, 2)

    def agreement() -> float:
        said = model.decode(model.encode(images, sizes), torch.full((200, 1), 1))[:, 0]  # (200, V)
        taught = head(model.features(images, sizes))[:, 0, 0]
        both = torch.stack([(logits - logits.mean(dim=0)).flatten() for logits in (said, taught)])
        return float(torch.corrcoef(both)[0, 1])

    assert abs(agreement()) < 0.2
    model.adopt_symbols(head)
    assert agreement() > 0.7


def test_an_unknown_recognizer_or_size_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'resnet' is not one of"):
        build("resnet", VOCABULARY, MAX_TOKENS, {})
    for name in REGISTRY:
        with pytest.raises(ValueError, match="widht"):
            build(name, VOCABULARY, MAX_TOKENS, {"widht": 3})


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_default_sizes_keep_to_their_bounds(name: str) -> None:
    sizes = REGISTRY[name][1]
    sizes.model_validate(sizes().model_dump())  # pydantic doesn't check defaults by itself


class Unfinished(FormulaRecognizer):
    name = "unfinished"

    def features(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        return images


class Coarse(FastRecognizer):
    name = "coarse"
    stride = (32, 8)


class Copied(FastRecognizer):
    name = "fast"


@pytest.mark.parametrize(
    "network, message",
    [
        (Unfinished, r"\.Unfinished lacks Sizes, decode, encode, prefix, step, stride; models/base.py says"),
        (Coarse, r"\.Coarse: stride \(32, 8\) must divide \(16, 32\)"),
        (Copied, r"\.Copied has the name of recognizer.models.fast.FastRecognizer, 'fast'"),
    ],
)
def test_a_recognizer_that_is_not_complete_is_named(network: type[FormulaRecognizer], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make_registry([FastRecognizer, network])


def test_logits_with_the_tokens_first_are_refused() -> None:
    """As one list they would be as long, and teach each token another's place."""
    with pytest.raises(ValueError, match=r"logits \(5, 2, 24\) for tokens \(2, 5\)"):
        sequence_loss(torch.zeros(5, 2, VOCABULARY), torch.ones(2, 5, dtype=torch.int64), pad=0)


@pytest.mark.parametrize(
    "name, sizes, message",
    [
        ("attention", {"width": 50}, "width 50 must be a multiple of 4"),
        ("fast", {"width": 50}, "width 50 must be a multiple of heads"),
        ("satrn", {"heads": 7}, r"width 256 must be even and a multiple of heads \(7\)"),
        ("fast", {"decoder_width": 50}, r"decoder_width 50 must be a multiple of twice the heads \(6\)"),
        ("satrn", {"decoder_width": 50}, r"decoder_width 50 must be a multiple of twice the heads \(8\)"),
        ("srn", {"width": 50}, "width 50 must be a multiple of heads"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(name: str, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, VOCABULARY, MAX_TOKENS, sizes)
