"""Command line: the mean of several models' weights: `python -m recognizer.average MODEL=SHARE ... --out DIR`.

Models that went on from one another, or from the same one, are often read better by the mean of their weights than by
any of them ("Model soups", Wortsman et al., 2022, arXiv:2203.05482), at the time of one. What is written is what
`recognizer.release`, `init` and `teacher` read: description and weights, no networks to serve yet.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from recognizer.config import ConfigError
from recognizer.models import build
from recognizer.training.warmstart import DESCRIPTION, WEIGHTS, Start, read_model, token_axes


def average(models: Mapping[Path, float], out: Path) -> None:
    """Writes the weighted mean of models of one recognizer and sizes, with the vocabulary of the first.

    A token that only some of the models have is their mean alone.

    Args:
        models: model directories, and how much each counts.

    Raises:
        FileExistsError: out is there already.
        ConfigError: a model can't be read, or isn't like the first.
    """
    starts = {path: read_model(path, "average") for path in models}
    first = next(iter(starts.values()))
    network = build(first.recognizer, len(first.vocabulary), first.max_tokens, first.sizes)
    axes = token_axes(network, first.recognizer, len(first.vocabulary), first.max_tokens, first.sizes)
    for path, start in starts.items():
        if (start.recognizer, start.preprocess, _shapes(start, axes)) != (
            first.recognizer,
            first.preprocess,
            _shapes(first, axes),
        ):
            raise ConfigError(f"average: {path} has another recognizer, other sizes or other preprocessing")
    shares = list(models.values())
    weights = {name: _mean(name, list(starts.values()), shares, axes.get(name)) for name in first.weights}
    out.mkdir(parents=True)
    description = json.loads((next(iter(models)) / DESCRIPTION).read_text(encoding="utf-8"))
    described = {start.version: share for start, share in zip(starts.values(), shares, strict=True)}
    description["provenance"] = {**description.get("provenance", {}), "mean_of": described}
    (out / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
    save_file(weights, out / WEIGHTS)


def _shapes(start: Start, axes: Mapping[str, int]) -> dict[str, list[int]]:
    """Of each weight, without the axis that counts tokens."""
    return {
        name: [size for axis, size in enumerate(weight.shape) if axis != axes.get(name)]
        for name, weight in start.weights.items()
    }


def _mean(name: str, starts: Sequence[Start], shares: Sequence[float], axis: int | None) -> Tensor:
    """One weight's; along `axis` its tokens are matched by spelling."""
    first = starts[0]
    total, counted = torch.zeros_like(first.weights[name], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    if axis is not None:
        counted = torch.zeros([size if at == axis else 1 for at, size in enumerate(total.shape)], dtype=torch.float64)
    for start, share in zip(starts, shares, strict=True):
        weight = start.weights[name].double()
        if axis is None:
            total, counted = total + share * weight, counted + share
        else:
            shared = [token for token in first.vocabulary.tokens if token in start.vocabulary]
            here, there = (torch.tensor(known.encode(shared)) for known in (first.vocabulary, start.vocabulary))
            total.index_add_(axis, here, share * weight.index_select(axis, there))
            counted.index_add_(axis, here, torch.full_like(counted.index_select(axis, here), share))
    return (total / counted).to(torch.float32).contiguous()


def _share(text: str) -> tuple[Path, float]:
    path, equals, share = text.rpartition("=")
    try:
        if equals and float(share) > 0:
            return Path(path), float(share)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected MODEL=SHARE, such as run4=0.3, got {text!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.average", description=__doc__)
    parser.add_argument("models", nargs="+", type=_share, metavar="MODEL=SHARE", help="a model directory, its weight")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    options = parser.parse_args(arguments)
    try:
        average(dict(options.models), options.out)
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
