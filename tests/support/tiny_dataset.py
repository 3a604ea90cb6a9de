"""A labelled set that takes no time: short sums written with OpenCV, in the competition's format."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

# Sizes at which the default recognizer trains in seconds; for tests of the job around it, not of its accuracy
TINY_JOB = {
    "epochs": "1",
    "batch_size": "8",
    "workers": "0",
    "threads": "1",
    "augment": "false",
    "warmup_steps": "1",
    "strips": "0",
    "symbol_steps": "0",
}


def write_tiny_dataset(folder: Path, count: int = 24) -> Path:
    """`gt.txt`, `tokens.txt` and `count` pictures of `a + b` with digits a and b."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        first, second = index % 10, (index * 7 + 3) % 10
        picture = np.full((48, 120, 3), 255, np.uint8)
        cv2.putText(picture, f"{first}+{second}", (8, 36), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{index:03}.png"), picture)
        lines.append(f"{index:03}.png\t{first} + {second}\n")
    (folder / "gt.txt").write_text("".join(lines))
    (folder / "tokens.txt").write_text("\n".join([*"0123456789", "+"]) + "\n")
    return folder
