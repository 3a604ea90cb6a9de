"""Well-known formulas at six resolutions: `make bench-resolutions MODEL=folder`.

The formulas (`known_formulas.txt`) are what pupils and engineers write, from `3.14159` to Schrödinger's equation. They
were written down before any model read them, and none was left out afterwards. MathJax draws them, and LaTeX in the
typefaces that are named. Right is what has the label's tokens after normalisation of both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.jobs import table
from bench.reading import DPI, is_right
from inference import ModelError, Recognizer
from recognizer.synth.corpus import MATHJAX, X_HEIGHT
from recognizer.synth.style import Style, render
from recognizer.synth.tex import TYPEFACES, TexError, TexStyle, check_installed, render_document

FORMULAS = Path(__file__).with_name("known_formulas.txt")
MARGIN = 10  # pixels of paper around what LaTeX drew


def pictures(formulas: Sequence[str], typeface: str, dpi: int) -> list[np.ndarray]:
    """(H, W, 3) uint8 of each formula.

    Raises:
        TexError: LaTeX isn't there, or can't draw one of them.
    """
    if typeface == MATHJAX:
        return [render(formula, Style(x_height=X_HEIGHT * dpi)) for formula in formulas]
    drawn = render_document(formulas, TexStyle(typeface, dpi))
    missing = [formula for formula, ink in zip(formulas, drawn, strict=True) if ink is None]
    if missing:
        raise TexError(f"LaTeX can't draw {missing[0]} in typeface {typeface!r}")
    inks = [ink for ink in drawn if ink is not None]
    return [np.repeat(np.pad(ink, MARGIN, constant_values=255)[:, :, None], 3, axis=2) for ink in inks]


def right(model: Recognizer, formulas: Sequence[str], typeface: str, dpi: int) -> list[str]:
    """The formulas that are read exactly right."""
    answers = model.predict(pictures(formulas, typeface, dpi))
    read = zip(formulas, answers, strict=True)
    return [formula for formula, answer in read if is_right(answer.latex, formula)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.resolutions", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument(
        "--typefaces", nargs="*", choices=TYPEFACES, default=[], metavar="NAME", help="LaTeX's, beside MathJax's font"
    )
    parser.add_argument("--show", action="store_true", help="name what was read wrong")
    options = parser.parse_args(arguments)
    formulas = FORMULAS.read_text(encoding="utf-8").splitlines()
    rows = []
    try:
        if options.typefaces:
            check_installed()
        model = Recognizer.load(options.model, threads=1)
        for typeface in (MATHJAX, *options.typefaces):
            found = {dpi: right(model, formulas, typeface, dpi) for dpi in DPI}
            rows.append([typeface, *(f"{100 * len(each) / len(formulas):.1f}%" for each in found.values())])
            for dpi in DPI if options.show else ():
                print(f"{typeface}, {dpi} dpi, wrong: {'   '.join(sorted(set(formulas) - set(found[dpi])))}")
    except (ModelError, TexError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"{options.model}, {len(formulas)} well-known formulas, exactly right")
    print(table(["typeface", *(f"{dpi} dpi" for dpi in DPI)], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
