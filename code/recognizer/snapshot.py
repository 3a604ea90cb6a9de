"""Command line: the model that a run has come to, without its end: `python -m recognizer.snapshot CHECKPOINTS OUT`.

For a run that was stopped and won't go on, or that goes on meanwhile. The model is the average of the weights, as it
is validated; its golden samples are embedded pictures. A job that ends by itself exports what validated best.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import inference
from recognizer.export import ExportError, Trained, export
from recognizer.latex import Vocabulary
from recognizer.models import build
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.synth.style import random_style, render_any
from recognizer.training import checkpoint


def snapshot(checkpoints: Path, target: Path) -> inference.Recognizer:
    """Writes the model directory `target` from the last checkpoint in a folder.

    Raises:
        CheckpointError: there is none, or it can't be read.
        ExportError, inference.ModelError: as `export` does.
    """
    if target.is_dir() and any(target.iterdir()):  # `export` would replace what lies there
        raise FileExistsError(f"{target} holds something already; choose another folder")
    state = checkpoint.read(checkpoints, checkpoint.LAST)
    if state is None:
        raise checkpoint.CheckpointError(
            f"{checkpoints / checkpoint.LAST} isn't there: name a job's checkpoints folder"
        )
    identity, name = state["identity"], state["recognizer"]
    vocabulary = Vocabulary.from_dict(identity["vocabulary"])
    model = build(name, len(vocabulary), identity["max_tokens"], identity["sizes"])
    model.load_state_dict(state["average"])
    history = state["history"]
    trained = Trained(
        model=model,
        recognizer=name,
        sizes=identity["sizes"],
        vocabulary=vocabulary,
        spec=inference.PreprocessSpec.from_dict(identity["preprocess"]),
        max_tokens=identity["max_tokens"],
        provenance={"progress": state["progress"], "last_validation": history[-1] if history else None},
    )
    return export(trained, embedded_pictures(), target)


def embedded_pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [render_any(generate_formula(rng, level), random_style(rng))[0] for level in LEVELS[:4]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.snapshot", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoints", type=Path, help="a job's folder of checkpoints")
    parser.add_argument("out", type=Path, help="model directory to write")
    options = parser.parse_args(arguments)
    try:
        recognizer = snapshot(options.checkpoints, options.out)
    except (OSError, checkpoint.CheckpointError, ExportError, inference.ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {recognizer.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
