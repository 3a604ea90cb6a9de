"""Draws formulas with LaTeX and dvipng, in many typefaces: hundreds a second, since one run draws a whole document.

LaTeX isn't in the images; whoever makes a large data set installs it (Debian: texlive-latex-extra, texlive-science,
texlive-fonts-extra, texlive-plain-generic, cm-super, lmodern, dvipng).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from recognizer.latex.synonyms import CAPITAL_GREEK


class TexError(Exception):
    """LaTeX isn't there, or made nothing of a whole document."""


PROGRAMS = ("latex", "dvipng")
PAPER = 250  # what is lighter is no ink; the bars of `=` are 152 at 72 dpi
SECONDS = 120  # for one document

AMS = r"\usepackage{amssymb}"
# Name -> packages. All have scalable outlines: dvipng would need minutes to make bitmaps of the others.
TYPEFACES = {
    "computer-modern": AMS,
    "latin-modern": AMS + r"\usepackage{lmodern}",
    "times": AMS + r"\usepackage{mathptmx}",
    "newtx": r"\usepackage{newtxtext,newtxmath}",
    "tx": r"\usepackage{txfonts}",
    "stix": r"\usepackage{stix}",
    "stix2": r"\usepackage{stix2}",
    "palatino": AMS + r"\usepackage{mathpazo}",
    "newpx": r"\usepackage{newpxtext,newpxmath}",
    "px": r"\usepackage{pxfonts}",
    "euler": AMS + r"\usepackage{mathpazo}\usepackage{eulervm}",
    "utopia": AMS + r"\usepackage{fourier}",
    "charter": r"\usepackage[charter]{mathdesign}",
    "xcharter": r"\usepackage{XCharter}\usepackage[xcharter]{newtxmath}",
    "garamond": r"\usepackage[lining]{ebgaramond}\usepackage[ebgaramond]{newtxmath}",
    "baskerville": r"\usepackage{baskervald}\usepackage[baskervaldx]{newtxmath}",
    "kepler": r"\usepackage{kpfonts}",
    "libertine": AMS + r"\usepackage{libertine}\usepackage{libertinust1math}",
    "antykwa": AMS + r"\usepackage[math]{anttor}",
    "schoolbook": AMS + r"\usepackage{fouriernc}",
    "cm-bright": AMS + r"\usepackage{cmbright}",
    "arev": AMS + r"\usepackage{arev}",
    "iwona": AMS + r"\usepackage[math]{iwona}",
    "kurier": AMS + r"\usepackage[math]{kurier}",
    "helvetica": AMS + r"\usepackage{helvet}\usepackage{sansmath}\sansmath",
    # Letters as if printed by hand. In other fonts of the kind capitals look like \mathcal's, or swashes are cut off.
    "comic": AMS + r"\usepackage[default]{comicneue}\usepackage[T1,italic,defaultmathsizes]{mathastext}",
}

# Commands that a typeface draws as it does others, or as a black box: a label would say what can't be seen.
MISDRAWN = {
    name: frozenset(commands.split())
    for name, commands in {
        "times": r"\mathit \boldsymbol \mathcal \epsilon \varrho",
        **dict.fromkeys(("tx", "px"), r"\mathit"),
        "euler": r"\leq \geq \varsigma \varrho \varDelta \hslash",
        "stix": r"\mathit ` \O \AA \vartriangleleft \vartriangleright",
        "stix2": r"\mathit ` \O \AA",
        "libertine": r"\mathit ` \O \AA \emptyset \hslash",
        "kepler": r"\nsupseteq",
        "utopia": r"\boldsymbol",
        "schoolbook": r"\boldsymbol",
        "cm-bright": r"\mathit \boldsymbol",
        "arev": r"\mathit \mathsf \emptyset \imath \hslash",
        "antykwa": r"\mathit \mathsf \mathtt \texttt",
        "iwona": r"\mathit \mathsf \mathtt \texttt",
        "kurier": r"\mathit \mathsf \mathtt \texttt",
        "comic": r"\mathit \boldsymbol \mathsf",
        "helvetica": r"\boldsymbol \mathbf \vec \mathsf \mathtt \mathfrak " + " ".join(CAPITAL_GREEK),
    }.items()
}
_LIGHT_CAPITALS = ("times", "utopia", "schoolbook", "cm-bright")  # no bold Greek ones
_BOLD_CAPITAL = re.compile(r"\\mathbf \{[^}]*(" + "|".join(map(re.escape, sorted(CAPITAL_GREEK))) + r") ")
_ITALIC_LETTER = re.compile(r"\\mathit \{ \S+ \}")  # is italic without the command, in every typeface

# Lines are as long as TeX can make them: it would break what is wider, and the label knows nothing of that.
_DOCUMENT = r"""\documentclass{article}\nonstopmode
\usepackage[T1]{fontenc}\usepackage{amsmath}%(packages)s\usepackage{mathrsfs,stmaryrd,extarrows}
\providecommand\sech{\operatorname{sech}}\providecommand\csch{\operatorname{csch}}\providecommand\cosec{\operatorname{cosec}}
\usepackage[active,tightpage]{preview}
\tracinglostchars=1 \errorcontextlines=0
\begin{document}\hsize=16000pt \linewidth=\hsize %(setup)s
%(pages)s
\end{document}
"""
_PAGE = r"\typeout{@page %d@}\begin{preview}$%s %s$\end{preview}"
_PAGE_MARK = re.compile(r"^@page (\d+)@", re.MULTILINE)
_PERCENT = re.compile(r"(\\.)|%", re.DOTALL)
_FAULT = re.compile(r"^! |^Missing character", re.MULTILINE)


@dataclass(frozen=True)
class TexStyle:
    """One document's looks; `dpi` at 10-point type, so an x is 0.06 dpi pixels high."""

    typeface: str
    dpi: int
    display: bool = True
    bold: bool = False


def misdraws(typeface: str, tokens: Sequence[str]) -> bool:
    """Whether the formula has something that can't be told, or is not there, in this typeface."""
    if not MISDRAWN.get(typeface, frozenset()).isdisjoint(tokens):
        return True
    spaced = " ".join(tokens)
    return bool(_ITALIC_LETTER.search(spaced) or (typeface in _LIGHT_CAPITALS and _BOLD_CAPITAL.search(spaced)))


def missing_programs() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


def check_installed() -> None:
    """Raises TexError if LaTeX isn't there."""
    if absent := missing_programs():
        raise TexError(f"{' and '.join(absent)} not found; install LaTeX and dvipng, or draw with MathJax")


def render_document(formulas: Sequence[str], style: TexStyle) -> list[np.ndarray | None]:
    """Draws all formulas in one style.

    Returns:
        For each formula (H, W) uint8, black on white, cropped to TeX's boxes, which are mostly a little larger than the
        ink; None if LaTeX can't draw it without an error, or the typeface lacks one of its characters.

    Raises:
        TexError: the programs or the typeface are not installed, or made no document.
    """
    check_installed()
    with tempfile.TemporaryDirectory(prefix="tex-") as name:
        folder = Path(name)
        pages = "\n".join(
            _PAGE % (index, r"\displaystyle" if style.display else "", _with_percent_signs(formula))
            for index, formula in enumerate(formulas)
        )
        setup = r"\boldmath" if style.bold else ""
        source = _DOCUMENT % {"packages": TYPEFACES[style.typeface], "setup": setup, "pages": pages}
        (folder / "a.tex").write_text(source, encoding="utf-8")
        _run(["latex", "-no-shell-escape", "a.tex"], folder)
        if not (folder / "a.dvi").exists() and not _PAGE_MARK.search(_log(folder)):
            raise TexError(f"LaTeX made no document in typeface {style.typeface!r}: {_first_fault(folder)}")
        _run(["dvipng", "-q", "-T", "tight", "-bd", "1", "-D", str(style.dpi), "-o", "%d.png", "a.dvi"], folder)
        if len(list(folder.glob("*.png"))) == len(formulas):
            faulty = _faulty_pages(_log(folder))
            return [None if index in faulty else _page(folder / f"{index + 1}.png") for index in range(len(formulas))]
    if len(formulas) == 1:
        return [None]
    middle = len(formulas) // 2  # a formula that ended its page, or swallowed the next, spoils its own half alone
    return [*render_document(formulas[:middle], style), *render_document(formulas[middle:], style)]


def _with_percent_signs(formula: str) -> str:
    r"""Each ``%`` is the sign itself, as the label has it; as a comment it would swallow the end of its page."""
    return _PERCENT.sub(lambda match: match[1] or r"\%", formula)


def _run(command: list[str], folder: Path) -> None:
    try:  # both report single faulty pages by their exit status, so it says nothing about the rest
        subprocess.run(command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise TexError(f"{command[0]} took longer than {SECONDS} s") from None


def _log(folder: Path) -> str:
    return (folder / "a.log").read_text(encoding="latin-1") if (folder / "a.log").exists() else ""


def _first_fault(folder: Path) -> str:
    return next((line for line in _log(folder).splitlines() if line.startswith("! ")), "no message in its log")


def _faulty_pages(log: str) -> set[int]:
    """Pages with an error or a missing character; from a fault that upsets the pages' order on, all of them."""
    marks = list(_PAGE_MARK.finditer(log))
    ends = [mark.start() for mark in marks[1:]] + [len(log)]
    return {
        int(mark.group(1)) for mark, end in zip(marks, ends, strict=True) if _FAULT.search(log, mark.end(), end)
    }  # fmt: skip


def _page(path: Path) -> np.ndarray | None:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return picture if picture is not None and (picture < PAPER).any() else None
