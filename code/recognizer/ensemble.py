"""Command line: several models that decide together: `python -m recognizer.ensemble MODEL MODEL ... --out DIR`.

The result is a model directory like any other: each step of decoding averages the members' log probabilities (as
Sutskever et al., 2014, arXiv:1409.3215, and many since). Members may be unlike: recognizers, sizes, preprocessing and
vocabularies; tokens are matched by spelling. It takes the time of all members together.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import inference
from recognizer.archive import opened
from recognizer.export import write_code, write_golden
from recognizer.latex import SPECIALS
from recognizer.model_dir import DESCRIPTION, refuse_existing


def write_ensemble(models: Sequence[Path], out: Path) -> inference.Recognizer:
    """Copies what is served of each model into a folder of its own below `out`, and returns the ensemble, loaded.

    Its golden samples are the pictures of the first model's, with the ensemble's own answers.

    Raises:
        FileExistsError: out is there already.
        inference.ModelError: a model can't be used or doesn't reproduce its golden samples, there is only one, or they
            have no token in common.
    """
    refuse_existing(out)
    if len(models) < 2:
        raise inference.ModelError("an ensemble needs two models or more")
    members = [inference.model_fn(str(model)) for model in models]
    for member in members:
        if isinstance(member, inference.Ensemble):
            raise inference.ModelError(f"{member.model_dir} is an ensemble itself; give its members")
    if not _formula_tokens(set.intersection(*(set(member.tokens) for member in members))):
        raise inference.ModelError("the models have no token in common, and an ensemble writes only what all can write")
    precisions = [name for name, files in inference.NETWORKS.items() if _all_have(models, files)]
    out.mkdir(parents=True)
    try:
        names = [f"member-{number}" for number in range(len(members))]
        for name, model in zip(names, models, strict=True):
            _copy_served(model, out / name, precisions)
        _write_description(out, names, [member.version for member in members])
        write_code(out)
        write_golden(out, _golden_pictures(models[0] / "golden"))
        ensembles = {each: inference.Recognizer.load(out, precision=each) for each in precisions}
        for ensemble in ensembles.values():
            ensemble.check_golden()
    except BaseException:
        shutil.rmtree(out)
        raise
    return ensembles["fp32"]


def _formula_tokens(tokens: Iterable[str]) -> list[str]:
    """Those of the tokens that are part of a formula."""
    return [token for token in tokens if token not in SPECIALS]


def _all_have(models: Sequence[Path], files: Sequence[str]) -> bool:
    return all((model / file).is_file() for model in models for file in files)


def _copy_served(model: Path, target: Path, precisions: Sequence[str]) -> None:
    target.mkdir()
    for name in (DESCRIPTION, *(file for precision in precisions for file in inference.NETWORKS[precision])):
        shutil.copyfile(model / name, target / name)


def _write_description(out: Path, names: Sequence[str], versions: Sequence[str]) -> None:
    digest = hashlib.sha256("\n".join(versions).encode()).hexdigest()
    description = {
        "format_version": inference.FORMAT_VERSION,
        "version": f"ensemble-{digest[:12]}",
        "members": list(names),
        "provenance": {"members": list(versions)},
    }
    (out / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def _golden_pictures(golden: Path) -> list[np.ndarray]:
    samples = json.loads((golden / "golden.json").read_text(encoding="utf-8"))
    return [inference.read_image((golden / sample["file"]).read_bytes()) for sample in samples]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.ensemble", description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="model directory or its archive")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not be there yet")
    options = parser.parse_args(arguments)
    try:
        with ExitStack() as stack:
            models = [stack.enter_context(opened(each)) for each in options.models]
            ensemble = write_ensemble(models, options.out)
    except (OSError, inference.ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    shared = len(_formula_tokens(ensemble.tokens))
    print(f"{options.out}: {ensemble.version} of {len(options.models)} members, {shared} shared tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
