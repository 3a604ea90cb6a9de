"""Command line: the mean of several models' weights: `python -m recognizer.average MODEL=SHARE ... --out DIR`.

Models that went on from one another, or from the same one, are often read better by the mean of their weights than by
any of them ("Model soups", Wortsman et al., 2022, arXiv:2203.05482), at the time of one. What is written is what
`recognizer.release`, `init` and `teacher` read: description and weights, no networks to serve yet.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from recognizer.config import ConfigError
from recognizer.export import version_of
from recognizer.latex import Vocabulary, VocabularyError
from recognizer.model_dir import DESCRIPTION, WEIGHTS, Start, read_model, refuse_existing, save_weights
from recognizer.models import build
from recognizer.training.warmstart import take_over, token_axes

SHARED = ("format_version", "recognizer", "preprocess", "limits")  # of model.json; the rest is measured
COVERAGE = ".coverage."  # in the names of its weights


def average(models: Mapping[Path, float], out: Path, without: Collection[str] = ()) -> None:
    """Writes the weighted mean of models of one recognizer and sizes, with the tokens of all of them.

    A token that only some of the models have, or a coverage that the first has and others lack, is their mean alone.
    Ids are those of the first model, and tokens that it lacks come behind. Models may lack layers of the first, and
    count as if these added nothing there.

    Args:
        models: model directories, and how much each counts.
        without: tokens that are left out, such as ones that a few wrong labels brought.

    Raises:
        FileExistsError: out is there already.
        ConfigError: a model can't be read, or isn't like the first; none has a token that is to be left out.
    """
    refuse_existing(out)
    starts = {path: read_model(path, "average") for path in models}
    first = next(iter(starts.values()))
    whole = first.vocabulary.extended(token for start in starts.values() for token in start.vocabulary.tokens)
    try:
        vocabulary = whole.without(without)
    except VocabularyError as error:
        raise ConfigError(f"average: {error}") from error
    placed = [_placed(start, first, vocabulary, path) for path, start in starts.items()]
    shares = torch.tensor(list(models.values()), dtype=torch.float64)
    weights = {name: _mean(torch.stack([each[name] for each in placed]), shares) for name in placed[0]}
    described = {start.version: share for start, share in zip(starts.values(), models.values(), strict=True)}
    stored = first.description
    out.mkdir(parents=True)
    save_weights(weights, out / WEIGHTS)
    description = {
        **{key: stored[key] for key in SHARED},
        "vocabulary": vocabulary.to_dict(),
        "version": version_of(first.recognizer, out / WEIGHTS),
        "provenance": {"mean_of": described},
    }
    (out / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")


def _placed(start: Start, first: Start, vocabulary: Vocabulary, path: Path) -> dict[str, Tensor]:
    """A model's weights in the first's shapes, a row for each token: NaN for tokens, or a coverage, that it lacks.

    So are the weights of a layer that it lacks, apart from the last ones, which are zero.
    """
    asked = (first.recognizer, len(vocabulary), first.max_tokens, first.sizes)
    network = build(*asked)
    with torch.no_grad():
        for weight in network.state_dict().values():
            weight.fill_(torch.nan)
    is_alike = _kind(start) == _kind(first)
    taken = take_over(start, network, vocabulary, token_axes(network, *asked)) if is_alike else None
    if not taken or taken.dropped or not all(_may_lack(name, taken.deeper) for name in taken.new):
        raise ConfigError(f"average: {path} isn't like the first model: {_differences(start, first)}")
    return network.state_dict()


def _may_lack(weight: str, deeper: Sequence[str]) -> bool:
    return COVERAGE in weight or any(weight.startswith(f"{layer}.") for layer in deeper)


def _kind(start: Start) -> dict[str, object]:
    """What models with a mean have in common, beside their weights' names and shapes."""
    return {"recognizer": start.recognizer, "max_tokens": start.max_tokens, **start.preprocess.to_dict()}


def _differences(start: Start, first: Start) -> str:
    """What could keep two models from having a mean, in words."""
    its, other = ({**_kind(each), **each.sizes} for each in (start, first))
    names = [name for name in {**other, **its} if its.get(name) != other.get(name)]
    return ", ".join(f"{name} is {its.get(name)}, there {other.get(name)}" for name in names) or "other weights"


def _mean(weights: Tensor, shares: Tensor) -> Tensor:
    """(M, ...) of M models, shares (M,) -> (...), of what isn't NaN."""
    share = shares.view(-1, *[1] * (weights.ndim - 1))
    total = (share * weights.double().nan_to_num()).sum(dim=0)
    return (total / (share * ~weights.isnan()).sum(dim=0)).float().contiguous()


def _share(text: str) -> tuple[Path, float]:
    path, equals, share = text.rpartition("=")
    try:
        if equals and 0 < float(share) < math.inf:
            return Path(path), float(share)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected MODEL=SHARE, such as run4=0.3, got {text!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.average", description=__doc__)
    parser.add_argument("models", nargs="+", type=_share, metavar="MODEL=SHARE", help="a model directory, its weight")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    parser.add_argument("--without", nargs="+", default=[], metavar="TOKEN", help="tokens to leave out")
    options = parser.parse_args(arguments)
    if twice := [path for path, count in Counter(path for path, _ in options.models).items() if count > 1]:
        parser.error(f"{twice[0]} is given twice")
    try:
        average(dict(options.models), options.out, options.without)
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
