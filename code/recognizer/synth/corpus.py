"""Command line: a file of formulas becomes a data set: `python -m recognizer.synth.corpus --formulas FILE --out DIR`.

The file has lines `corpus<TAB>latex`, gzipped or not. Each formula is drawn once, in a typeface and at a resolution
of its own, and a part of the pictures then looks photographed or scanned (`degrade`).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from recognizer.data.formats import read_lines
from recognizer.data.sample import DataError
from recognizer.latex import normalize, problems, tokenize
from recognizer.latex.synonyms import ARGUMENTS
from recognizer.processes import in_processes
from recognizer.progress import Progress
from recognizer.synth.constructs import construct
from recognizer.synth.dataset import Row, whole_or_nothing, write_picture, write_tables
from recognizer.synth.degrade import degrade
from recognizer.synth.excerpts import excerpt
from recognizer.synth.glyphs import HALF
from recognizer.synth.layouts import LONGEST_LINE, SHORT, layout, one_of, pool
from recognizer.synth.mathjax import RenderError, render_mathjax
from recognizer.synth.repetition import PART, Material, material, repetitive
from recognizer.synth.style import SHORTEST
from recognizer.synth.tex import TYPEFACES, TexError, TexStyle, check_installed, misdraws, render_document
from recognizer.synth.variations import ACCENTS, quantity, vary, words_of

PER_DOCUMENT = 200
MAX_TOKENS = 150  # of a formula
TRIES = 1000  # for each formula that is made to a limit
DPI = (72, 400)
DEGRADED_SHARE = 0.45
LEAST_PAPER = 3  # pixels around what is photographed: what touches the border there is left out as cut off
CUT_SHARE, MOST_CUT = 0.04, 0.05  # of the pictures; of an em: programs that crop to the ink often cut its edge
LEGIBLE_DPI = 110  # below, a blurred photograph can't be read any more
_NOT_ALONE = frozenset(["{", "}", "^", "_", "&", "\\\\", "\\quad", "\\qquad", "\\ "])
_CUT_AWAY = frozenset([*ACCENTS, "\\underline", "\\widehat", "\\widetilde", "\\underbrace", "\\overbrace"])
_OWN_WEIGHT = frozenset(["\\mathbf", "\\boldsymbol", "\\mathrm"])  # in bold type the last looks like the first
MATHJAX = "mathjax"  # beside LaTeX's typefaces: as in web pages
EVERY = (*TYPEFACES, MATHJAX)
COMMON = ("computer-modern", "latin-modern", "times", "newtx", "palatino", "stix2", MATHJAX)  # half of all pictures
X_HEIGHT = 0.06  # of 10-point type, in pixels for one dpi


@dataclass(frozen=True)
class Formula:
    """One line of the file."""

    corpus: str
    latex: str
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class _Document:
    """What one LaTeX run draws: formulas by their number in the data set."""

    style: TexStyle
    formulas: tuple[tuple[int, Formula], ...]
    seed: int
    degraded: bool  # looks photographed or scanned
    cut: bool  # some pictures lack their edge


def read_formulas(path: Path, max_tokens: int = MAX_TOKENS, min_tokens: int = 1) -> Iterator[Formula]:
    """Formulas with a sound label of so many tokens.

    Raises:
        DataError: a line without a tab, or the file is damaged.
    """
    for number, line in read_lines(path):
        corpus, tab, latex = line.partition("\t")
        if not tab:
            raise DataError(f"{path}:{number}: no tab in {line[:80]!r}; expected corpus<TAB>latex")
        tokens = tuple(tokenize(normalize(latex)))
        if max(min_tokens, 1) <= len(tokens) <= max_tokens and not problems(tokens):
            yield Formula(corpus, latex, tokens)


def choose(
    formulas: Iterable[Formula],
    only: Sequence[str],
    without: Sequence[str],
    most: dict[str, int],
    rarest: int,
    seed: int,
) -> list[Formula]:
    """Formulas in random order: of some corpora, at most so many of each, without tokens that hardly ever occur.

    Args:
        only, without: corpora to take (all if empty) and to leave out.
        most: at most so many of a corpus.
        rarest: formulas with a token that occurs in fewer formulas than this are left out.
    """
    kept = [each for each in formulas if each.corpus not in without and (not only or each.corpus in only)]
    taken: Counter[str] = Counter()
    chosen = []
    for formula in _shuffled(kept, seed):
        taken[formula.corpus] += 1
        if taken[formula.corpus] <= most.get(formula.corpus, len(kept)):
            chosen.append(formula)
    counts = Counter(token for formula in chosen for token in set(formula.tokens))
    return [formula for formula in chosen if all(counts[token] >= rarest for token in formula.tokens)]


def _shuffled(formulas: Sequence[Formula], seed: int) -> list[Formula]:
    return [formulas[index] for index in np.random.default_rng(seed).permutation(len(formulas))]


def singles(formulas: Iterable[Formula]) -> list[Formula]:
    """Every symbol of the formulas by itself, and in each alphabet that it is seen in: `x`, `\\mathbf{x}`."""
    found: set[tuple[str, ...]] = set()
    for formula in formulas:
        tokens = formula.tokens
        found.update((token,) for token in tokens if _stands_alone(token))
        found.update(
            tokens[at : at + 4]
            for at, token in enumerate(tokens)
            if token.startswith("\\math") and tokens[at + 1 : at + 2] == ("{",) and tokens[at + 3 : at + 4] == ("}",)
        )
    return _labelled("singles", sorted(found))


def excerpts(formulas: Sequence[Formula], count: int, seed: int) -> list[Formula]:
    """So many short pieces of the formulas, which are chosen at random, each as often as it comes.

    Raises:
        DataError: hardly any of the formulas has a whole piece.
    """
    if not count:
        return []
    rng = np.random.default_rng((seed, 6))
    return _made("excerpts", lambda: " ".join(excerpt(one_of(formulas, rng).tokens, rng)), count, MAX_TOKENS)


def varied(formulas: Sequence[Formula], count: int, seed: int, max_tokens: int = MAX_TOKENS) -> list[Formula]:
    """So many of the formulas, drawn at random, with a part of their symbols changed at random.

    Raises:
        DataError: hardly any of them stays so short.
    """
    if not count:
        return []
    rng = np.random.default_rng((seed, 2))
    words = words_of(formula.tokens for formula in formulas)
    return _made("varied", lambda: " ".join(vary(one_of(formulas, rng).tokens, words, rng)), count, max_tokens)


def quantities(count: int, seed: int) -> list[Formula]:
    """Quantities with units, and units alone."""
    rng = np.random.default_rng((seed, 3))
    return _labelled("quantities", (quantity(rng) for _ in range(count)))


def laid_out(formulas: Sequence[Formula], count: int, seed: int, max_tokens: int = MAX_TOKENS) -> list[Formula]:
    """Lines, cases and tables of the formulas, of at most so many tokens; in half of them symbols are changed.

    Raises:
        DataError: none of the formulas is short enough for a line (LONGEST_LINE tokens) or for a cell (SHORT).
    """
    if not count:  # to change all formulas takes a while
        return []
    rng = np.random.default_rng((seed, 4))
    real = [formula.tokens for formula in formulas]
    words = words_of(real)
    pools = pool(real), pool([vary(tokens, words, rng) for tokens in real])
    if not all(each.cells for each in pools):  # each of which can be a line, too
        raise DataError(
            f"--lines {count}: lines and tables are made of formulas of at most {LONGEST_LINE} tokens, with some of at "
            f"most {SHORT} for their cells, and there are none so short; add short formulas, or leave --lines out"
        )
    return _made("laid-out", lambda: layout(pools[int(rng.random() < 0.5)], rng), count, max_tokens)


def repeats(formulas: Sequence[Formula], count: int, seed: int, max_tokens: int = MAX_TOKENS) -> list[Formula]:
    """Formulas of which the parts are alike, made of these; long names and numbers.

    Raises:
        DataError: none of the formulas can be a part of another.
    """
    return _of_parts("repeats", repetitive, formulas, count, (seed, 5), max_tokens)


def constructs(formulas: Sequence[Formula], count: int, seed: int, max_tokens: int = MAX_TOKENS) -> list[Formula]:
    """Double integrals, braces with labels, bold Greek and what else is rare, around pieces of these formulas.

    Raises:
        DataError: none of the formulas can be a part of another.
    """
    return _of_parts("constructs", construct, formulas, count, (seed, 7), max_tokens)


def _of_parts(
    name: str,
    make: Callable[[Material, np.random.Generator], str],
    formulas: Sequence[Formula],
    count: int,
    seed: tuple[int, int],
    max_tokens: int,
) -> list[Formula]:
    """What is made of formulas that can be a part of another one; `name` is the option that asks for it."""
    if not count:
        return []
    given, rng = material([formula.tokens for formula in formulas]), np.random.default_rng(seed)
    if not given.parts:
        raise DataError(
            f"--{name} {count}: they are made of formulas of {PART[0]} to {PART[1]} tokens in one line, and there are "
            f"none; add short formulas, or leave --{name} out"
        )
    return _made(name, lambda: make(given, rng), count, max_tokens)


def _made(corpus: str, make: Callable[[], str], count: int, max_tokens: int) -> list[Formula]:
    """So many formulas with a sound label of at most so many tokens.

    Raises:
        DataError: hardly any comes out so short.
    """
    made: list[Formula] = []
    tries = 0
    while len(made) < count:
        tries += 1
        if tries > TRIES * (len(made) + 1):
            raise DataError(f"{corpus}: of {tries} formulas {len(made)} have at most {max_tokens} tokens; allow more")
        latex = make()
        tokens = tuple(tokenize(normalize(latex)))
        if 0 < len(tokens) <= max_tokens and not problems(tokens):
            made.append(Formula(corpus, latex, tokens))
    return made


def _labelled(corpus: str, formulas: Iterable[Sequence[str]]) -> list[Formula]:
    """Those of the formulas that have a sound label."""
    labels = (tuple(tokenize(normalize(" ".join(tokens)))) for tokens in formulas)
    return [Formula(corpus, " ".join(tokens), tokens) for tokens in labels if tokens and not problems(tokens)]


def _stands_alone(token: str) -> bool:
    return token not in _NOT_ALONE and token not in ARGUMENTS and not HALF.match(token)


def write_corpus(
    folder: Path,
    formulas: Sequence[Formula],
    seed: int,
    workers: int,
    dpi: tuple[int, int] = DPI,
    photographs: float = DEGRADED_SHARE,
    per_document: int = PER_DOCUMENT,
    typefaces: Sequence[str] = (),
) -> int:
    """Draws the formulas into a data set of the competition's format; returns how many could be drawn.

    Args:
        dpi: lowest and highest resolution of a 10-point print; each document has one between them.
        photographs: share of documents that look photographed or scanned; if 0, nothing is cut off either.
        per_document: formulas in a row that have one typeface and resolution, and are all photographed or none.
        typefaces: names of EVERY, each as often as another; if empty all, common ones more often.

    Raises:
        FileExistsError: the folder holds something.
        TexError: LaTeX isn't there, which all typefaces but MathJax's need, or none of them could be drawn.
    """
    if {*typefaces} != {MATHJAX}:
        check_installed()
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds other files; remove it or choose another folder")
    documents = _documents(formulas, seed, dpi, photographs, per_document, typefaces)
    rows: list[Row] = []
    with whole_or_nothing(folder) as unfinished, Progress(len(formulas), "corpus", True) as shown:
        drawn = in_processes(partial(_draw, unfinished / "images"), documents, workers)
        for done, document in zip(drawn, documents, strict=True):
            rows += done
            shown.advance(len(document.formulas))
        if not rows:
            raise TexError(f"none of the {len(formulas)} formulas can be drawn")
        write_tables(unfinished, rows)
    return len(rows)


def _documents(
    formulas: Sequence[Formula],
    seed: int,
    dpi: tuple[int, int],
    photographs: float,
    per_document: int,
    typefaces: Sequence[str],
) -> list[_Document]:
    numbered = list(enumerate(formulas))
    documents = []
    for start in range(0, len(numbered), per_document):
        rng = np.random.default_rng((seed, start))
        style = _random_style(rng, dpi, typefaces)
        degraded = bool(style.dpi >= LEGIBLE_DPI and rng.random() < photographs)
        its = tuple(numbered[start : start + per_document])
        documents.append(_Document(style, its, seed, degraded, cut=photographs > 0 and not degraded))
    return documents


def _random_style(rng: np.random.Generator, dpi: tuple[int, int], typefaces: Sequence[str]) -> TexStyle:
    names = typefaces or (COMMON if rng.random() < 0.5 else EVERY)
    typeface = names[int(rng.integers(len(names)))]
    return TexStyle(
        typeface=typeface,
        dpi=round(float(np.exp(rng.uniform(*np.log(dpi))))),
        display=bool(rng.random() < 0.6),
        bold=bool(rng.random() < 0.06) and typeface != MATHJAX,
    )


def _draw(images: Path, document: _Document) -> list[Row]:
    latex = [formula.latex for _, formula in document.formulas]
    try:
        pictures = in_typeface(latex, document.style)
    except TexError as error:
        print(f"left out {len(document.formulas)} formulas: {error}", file=sys.stderr, flush=True)
        return []
    rows = []
    for (number, formula), ink in zip(document.formulas, pictures, strict=True):
        style = document.style
        if ink is None or misdraws(style.typeface, formula.tokens) or (style.bold and _needs_light(formula.tokens)):
            continue
        rng = np.random.default_rng((document.seed, 1, number))
        if document.cut and rng.random() < CUT_SHARE and _CUT_AWAY.isdisjoint(formula.tokens):
            ink = _cut(ink, document.style.dpi, rng)
        picture = _with_margins(ink, document.style.dpi, rng, least=LEAST_PAPER if document.degraded else 0)
        picture = degrade(picture, rng) if document.degraded else picture
        name = write_picture(images, number, picture, lossless=not document.degraded)
        rows.append(Row(name, formula.tokens, None))
    return rows


def in_typeface(formulas: Sequence[str], style: TexStyle) -> list[np.ndarray | None]:
    """As `render_document`, in MathJax's font too, which has one weight."""
    if style.typeface != MATHJAX:
        return render_document(formulas, style)
    return [_by_mathjax(formula, style) for formula in formulas]


def _by_mathjax(formula: str, style: TexStyle) -> np.ndarray | None:
    try:
        ink = render_mathjax(formula, X_HEIGHT * style.dpi, style.display)
    except RenderError:
        return None
    return np.rint(255 * (1 - np.clip(ink, 0, 1))).astype(np.uint8)


def _needs_light(tokens: Sequence[str]) -> bool:
    """Whether the label means light type: bold `x` is `\\boldsymbol{x}`, and only a longer formula may be all bold."""
    return len(tokens) < SHORTEST or not _OWN_WEIGHT.isdisjoint(tokens)


def _cut(ink: np.ndarray, dpi: int, rng: np.random.Generator) -> np.ndarray:
    """(H, W) -> without a pixel or a few at one of its sides, unless that would be a quarter of it."""
    turns, count = int(rng.integers(4)), int(rng.integers(1, max(1, round(MOST_CUT * dpi * 10 / 72)) + 1))
    turned = np.rot90(ink, turns)
    return np.rot90(turned[count:] if len(turned) >= 4 * count else turned, -turns)


def _with_margins(ink: np.ndarray, dpi: int, rng: np.random.Generator, least: int) -> np.ndarray:
    """(H, W) -> (H', W', 3): some paper around, `least` pixels or more, now and then grey or coloured ink."""
    em = dpi * 10 / 72
    sides = em * rng.uniform(0, 1.2 if rng.random() < 0.7 else 0.15, 4)
    left, top, right, bottom = (max(least, int(side)) for side in sides)
    grey = cv2.copyMakeBorder(ink, top, bottom, left, right, cv2.BORDER_CONSTANT, value=255)
    if rng.random() < 0.8:
        return np.repeat(grey[:, :, None], 3, axis=2)
    colour = rng.integers(0, 110, 3) if rng.random() < 0.6 else np.full(3, rng.integers(30, 130))
    share = grey[:, :, None].astype(np.float32) / 255
    return np.rint(share * 255 + (1 - share) * colour).astype(np.uint8)


def _amount(text: str) -> tuple[str, int]:
    corpus, equals, number = text.partition("=")
    if not (equals and number.isdigit()):
        raise argparse.ArgumentTypeError(f"expected corpus=number, such as stacks=30000, got {text!r}")
    return corpus, int(number)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The options by which formulas are chosen from a file."""
    parser.add_argument("--formulas", type=Path, required=True, help="lines of corpus<TAB>latex, gzipped or not")
    parser.add_argument("--only", nargs="+", default=[], help="corpora to take")
    parser.add_argument("--without", nargs="+", default=[], help="corpora to leave out")
    parser.add_argument("--most", nargs="+", type=_amount, default=[], help="corpus=number: at most so many of one")
    parser.add_argument(
        "--rarest", type=int, default=20, help="leave formulas out with a token that fewer have (%(default)s)"
    )
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS, help="of a formula (default %(default)s)")
    parser.add_argument("--min-tokens", type=int, default=1, help="of a formula (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)


def chosen(options: argparse.Namespace, count: int | None = None) -> list[Formula]:
    """The formulas that the options of `add_choice` choose; at most `count`.

    Raises:
        DataError: a line without a tab, or no formula is left.
        OSError: the file can't be read.
    """
    read = list(read_formulas(options.formulas, options.max_tokens, options.min_tokens))
    formulas = choose(read, options.only, options.without, dict(options.most), options.rarest, options.seed)[:count]
    if options.rarest > 1 and len(formulas) < len(read):
        print(
            f"{len(formulas)} of {len(read)} sound formulas taken; --rarest {options.rarest} leaves out those with a "
            "token that fewer have (--rarest 1 leaves out none)"
        )
    if not formulas:
        raise DataError(
            f"{options.formulas}: no formula is left of it by --only, --without, --most, --count, --min-tokens, "
            f"--max-tokens and --rarest {options.rarest}, which leaves out formulas with a token that fewer have; "
            "expected one at least"
        )
    return formulas


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.synth.corpus", description=__doc__)
    add_choice(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not hold anything")
    parser.add_argument("--count", type=int, help="at most so many formulas in all")
    parser.add_argument("--singles", type=int, default=0, help="pictures of each symbol alone, to add")
    parser.add_argument("--excerpts", type=int, default=0, help="short pieces of the formulas, to add")
    parser.add_argument("--varied", type=int, default=0, help="formulas with symbols changed at random, to add")
    parser.add_argument("--lines", type=int, default=0, help="aligned lines, cases and tables of formulas, to add")
    parser.add_argument("--repeats", type=int, default=0, help="formulas whose parts are alike, long names, to add")
    parser.add_argument("--constructs", type=int, default=0, help="double integrals, braces and their like, to add")
    parser.add_argument("--quantities", type=int, default=0, help="quantities with units, to add")
    parser.add_argument("--dpi", nargs=2, type=int, default=DPI, metavar=("LOW", "HIGH"), help="default %(default)s")
    looks = parser.add_mutually_exclusive_group()
    looks.add_argument("--clean", action="store_true", help="no photographs and scans, nothing cut off")
    looks.add_argument("--photographed", action="store_true", help=f"these alone, from {LEGIBLE_DPI} dpi on")
    parser.add_argument(
        "--per-document", type=int, default=PER_DOCUMENT, help="formulas in one typeface and resolution (%(default)s)"
    )
    parser.add_argument(
        "--typefaces", nargs="+", choices=EVERY, default=[], metavar="NAME", help="in these alone: %(choices)s"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    options = parser.parse_args(arguments)
    try:
        formulas = chosen(options, options.count)
        changed = varied(formulas, options.varied, options.seed, options.max_tokens)
        added = [
            *options.singles * singles([*formulas, *changed]),
            *excerpts(formulas, options.excerpts, options.seed),
            *changed,
            *laid_out(formulas, options.lines, options.seed, options.max_tokens),
            *repeats(formulas, options.repeats, options.seed, options.max_tokens),
            *constructs(formulas, options.constructs, options.seed, options.max_tokens),
            *quantities(options.quantities, options.seed),
        ]
        formulas = _shuffled([*formulas, *added], options.seed)
        drawn = write_corpus(
            options.out,
            formulas,
            options.seed,
            options.workers,
            tuple(options.dpi),
            0 if options.clean else 1 if options.photographed else DEGRADED_SHARE,
            options.per_document,
            options.typefaces,
        )
    except (ValueError, OSError, TexError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {drawn} of {len(formulas)} formulas drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
