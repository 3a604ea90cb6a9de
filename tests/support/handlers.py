"""Changes to a model's own code/inference.py, as users make them."""

from __future__ import annotations

from pathlib import Path

SLOW = """
import time

_quick_predict_fn = predict_fn


def predict_fn(request, model, context=None):
    time.sleep({seconds})
    return _quick_predict_fn(request, model)
"""


def slow_down(base_dir: Path, seconds: float) -> Path:
    """Makes each call of the model last longer; it stays our handler, so requests are joined."""
    path = base_dir / "model" / "code" / "inference.py"
    path.write_text(path.read_text() + SLOW.format(seconds=seconds))
    return base_dir


def replace_handler(base_dir: Path, source: str) -> Path:
    (base_dir / "model" / "code" / "inference.py").write_text(source)
    return base_dir
