"""Small data sets on disk."""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    """Twelve pictures of growing width, in the competition's format."""
    folder = tmp_path / "competition"
    (folder / "train_images").mkdir(parents=True)
    labels = ["a", "a + b", "x ^ { 2 }", "\\frac { a } { b }"]
    rows = []
    for number in range(12):
        picture = np.full((40, 60 + 20 * number, 3), 255, np.uint8)
        cv2.putText(picture, "ab" * (1 + number // 2), (4, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / "train_images" / f"train_{number:05}.jpg"), picture)
        rows.append(f"train_{number:05}.jpg\t{labels[number % 4]}\n")
    (folder / "gt.txt").write_text("".join(rows))
    (folder / "tokens.txt").write_text("a\nb\n+\nx\n2\n^\n_\n{\n}\n\\frac\n")
    (folder / "source.txt").write_text("".join(f"train_{n:05}.jpg\t{n % 2}\n" for n in range(12)))
    (folder / "level.txt").write_text("".join(f"train_{n:05}.jpg\t{1 + n % 5}\n" for n in range(12)))
    return folder
