"""What isn't finite: after a skipped step, the first module that puts out infinity or NaN, and the pictures it saw.

"The gradient isn't finite" leaves a person with the whole network and the whole data set. The forward pass is repeated
with hooks, which costs nothing as long as nothing goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recognizer.data.sample import Sample

NAMED_SAMPLES = 8  # of a batch


@dataclass(frozen=True)
class Culprit:
    """The first module whose output isn't finite, and the rows of the batch in which it isn't; empty for unknown."""

    module: str
    rows: tuple[int, ...]


def find_culprit(model: nn.Module, forward: Callable[[], object], batch_size: int) -> Culprit | None:
    """Runs `forward` once, without gradients, and returns the first module to go wrong; None if all are finite.

    Modules are in the order in which they finish, so a part comes before the whole that it is in.
    """
    found: list[Culprit] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            wrong = [tensor for tensor in _tensors(output) if not bool(torch.isfinite(tensor).all())]
            if wrong and not found:
                what = f"{name or 'the whole'} ({type(module).__name__})"
                found.append(Culprit(what, _wrong_rows(wrong[0], batch_size)))

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, module in model.named_modules()]
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):  # compiled layers have no hooks inside
            forward()
    finally:
        for each in hooks:
            each.remove()
    return found[0] if found else None


def describe(culprit: Culprit | None, samples: tuple[Sample, ...]) -> str:
    """For a person: which module, and where the pictures are written down, if they are samples."""
    places = f"; samples {_places(samples)}" if samples else ""
    if culprit is None:
        return f"every module's output is finite, so it overflowed on the way back{places}"
    if not samples or len(culprit.rows) in (0, len(samples)):
        return f"first in the output of {culprit.module}{places}"
    chosen = [samples[row] for row in culprit.rows]
    return f"first in the output of {culprit.module}, of {len(chosen)} of {len(samples)} samples: {_places(chosen)}"


def _places(samples: Iterable[Sample]) -> str:
    places = [
        sample.name if sample.origin in ("", sample.name) else f"{sample.name} ({sample.origin})" for sample in samples
    ]
    more = f" and {len(places) - NAMED_SAMPLES} more" if len(places) > NAMED_SAMPLES else ""
    return ", ".join(places[:NAMED_SAMPLES]) + more


def _wrong_rows(output: Tensor, batch_size: int) -> tuple[int, ...]:
    """Rows with a number that isn't finite, if the output has the batch first."""
    if output.ndim == 0 or len(output) != batch_size:
        return ()
    wrong = ~torch.isfinite(output).flatten(1).all(dim=1) if output.ndim > 1 else ~torch.isfinite(output)
    rows: list[int] = wrong.nonzero().flatten().tolist()
    return tuple(rows)


def _tensors(output: object) -> Iterator[Tensor]:
    """The tensors of a module's output, which may be nested."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
