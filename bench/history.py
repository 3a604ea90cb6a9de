"""Command line: `PYTHONPATH=.:code python -m bench.history`: the accuracy of all shipped weights, as a curve.

It draws docs/shipped-weights.png from the tables of docs/shipped-weights.md: what was shipped after which run, and how
many pictures each run saw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

PAGE = Path(__file__).resolve().parents[1] / "docs" / "shipped-weights.md"
SETS = ("printed_dev", "CROHME 2013")


def rows(page: str, head: str) -> Iterator[dict[str, str]]:
    """The table whose first row begins with `head`, as dictionaries by its columns' names."""
    table = re.search(rf"^\| {head} \|.*(?:\n\|.*)*", page, re.MULTILINE)
    assert table, f"{PAGE} has no table that begins with {head!r}"
    names, _, *lines = ([cell.strip() for cell in line.strip("| ").split("|")] for line in table[0].splitlines())
    return (dict(zip(names, cells, strict=False)) for cells in lines)


def seen(page: str) -> dict[int, int]:
    """Pictures seen up to the end of each run."""
    total, after = 0, {}
    for row in rows(page, "run"):
        total += int(row["pictures seen"].replace(",", ""))
        after[int(row["run"].split(",")[0])] = total
    return after


def draw(page: str, path: Path) -> None:
    pictures = seen(page)
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    axes = figure.add_subplot(xlabel="pictures seen (millions)", ylabel="exactly right (%)")
    shipped = list(rows(page, "after run"))
    for name in SETS:
        places = [pictures[int(row["after run"])] / 1e6 for row in shipped]
        rates = [float(row[name].rstrip("%")) for row in shipped]
        axes.plot(places, rates, marker="o", label=name)
        axes.annotate(f"{rates[-1]:.1f}", (places[-1], rates[-1]), textcoords="offset points", xytext=(-12, 7))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path)


if __name__ == "__main__":
    draw(PAGE.read_text(encoding="utf-8"), PAGE.with_suffix(".png"))
