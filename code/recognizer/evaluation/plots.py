"""The report's plots, as pictures that a page can hold: data URIs of PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recognizer.evaluation.calibration import Bin

PANELS = {
    "loss": ("loss",),
    "rates": ("exprate", "within_1", "within_2", "bleu"),
    "word error rate": ("wer", "competition_wer"),
}
BLUE = "#2563a8"
SHARES = (-0.05, 1.05)  # 0 to 1, and room for a dot's half beyond

History = Sequence[Mapping[str, float]]


def png_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def learning_curves(history: History) -> str:
    """Draw the panels that the history has values for, against its epochs."""
    panels = {title: [name for name in names if any(name in row for row in history)] for title, names in PANELS.items()}
    panels = {title: names for title, names in panels.items() if names}
    figure = Figure(figsize=(4.2 * max(1, len(panels)), 3.2), layout="constrained")
    for place, (title, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place, title=title, xlabel="epoch")
        for name in names:
            rows = [row for row in history if name in row]
            axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker=".", label=name)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend(frameon=False)
    return _uri(figure)


def reliability_curve(bins: Sequence[Bin]) -> str:
    """Draw the share right against the confidence; a dot's area grows with its answers, the diagonal is ideal."""
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel="confidence", ylabel="share exactly right", xlim=SHARES, ylim=SHARES)
    axes.plot([0, 1], [0, 1], color="#999", linestyle="--", linewidth=1)
    confidence, right = [each.confidence for each in bins], [each.right for each in bins]
    axes.plot(confidence, right, color=BLUE, linewidth=1.2)
    most = max(each.samples for each in bins)
    sizes = [15 + 200 * each.samples / most for each in bins]
    axes.scatter(confidence, right, sizes, color=BLUE, alpha=0.5)
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    return _uri(figure)


def _uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return png_uri(buffer.getvalue())
