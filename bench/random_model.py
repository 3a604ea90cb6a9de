"""A model directory with random weights, as the project exports it: as large and as fast as a trained one.

Its answers are nonsense, and as long or short as chance will have it: compare servers with it, not models.
"""

from __future__ import annotations

from pathlib import Path

import torch

from inference import PreprocessSpec
from recognizer.export import Trained, export
from recognizer.latex import Vocabulary
from recognizer.models import build
from recognizer.synth.dataset import sample

PICTURES = 8
MAX_TOKENS = 64


def write_random_model(folder: Path, seed: int = 0) -> Path:
    """Exports the recognizer `fast` in its default sizes into the folder, if there is no model in it yet."""
    if not (folder / "model.json").is_file():
        samples = [sample(index, seed) for index in range(PICTURES)]
        vocabulary = Vocabulary.from_labels([tokens for _, tokens, _, _ in samples])
        export(random_recognizer(vocabulary, MAX_TOKENS, seed), [picture for picture, *_ in samples], folder)
    return folder


def random_recognizer(vocabulary: Vocabulary, max_tokens: int, seed: int = 0) -> Trained:
    torch.manual_seed(seed)
    network = build("fast", len(vocabulary), max_tokens, {}).eval()
    return Trained(network, "fast", {}, vocabulary, PreprocessSpec(), max_tokens)
