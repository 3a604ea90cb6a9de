"""Metric definitions: the regular expressions by which SageMaker reads numbers from a training job's log (T13).

train.py prints each as `name=value;` in one line per report. SageMaker draws them as curves, and a tuning job takes
one of them as its objective. It allows 40 definitions of 500 characters each.
"""

from __future__ import annotations

NAMES = (
    "train:loss",
    "train:learning_rate",
    "train:images_per_second",
    "train:data_wait",
    "validation:loss",
    "validation:exprate",
    "validation:within_1",
    "validation:within_2",
    "validation:wer",
    "validation:bleu",
    "validation:competition_wer",
    "validation:competition_score",
    "exported:exprate",
)
OBJECTIVE = "exported:exprate"  # to be maximised; the last validation's may be below the best's, which is exported
NUMBER = r"[-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|inf|nan)"


def metric_definitions() -> list[dict[str, str]]:
    """`[{"Name": "train:loss", "Regex": ...}, ...]`, as CreateTrainingJob takes them."""
    return [{"Name": name, "Regex": rf"\b{name}=({NUMBER});"} for name in NAMES]
