"""Any formula as if somebody had written it: single symbols that people wrote, put where a writer would put them.

Few formulas were ever written on a tablet, and each of them by few people. Here the symbols of `stroke_bank` are laid
out as pen strokes, unevenly as people do it, and `data.ink` draws them with one pen. Lengths are in em, x to the right
and y down; a piece of a formula begins at x = 0 and its baseline is y = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recognizer.data.ink import draw
from recognizer.data.sample import Sample
from recognizer.latex import CONTROL_SPACE
from recognizer.latex import synonyms as table
from recognizer.latex.parser import Kind, Node, parse
from recognizer.synth.pen_shapes import SHAPES
from recognizer.synth.strips import AXIS
from recognizer.synth.stroke_bank import CantWriteError, StrokeBank

SMALLEST = 0.3  # em: scripts of scripts become no smaller
INTEGRALS = frozenset(["\\int", "\\iint", "\\iiint", "\\iiiint", "\\oint"])
LIMITS = (table.BIG_OPERATORS - INTEGRALS) | {"\\lim", "\\max", "\\min", "\\sup", "\\inf", "\\limsup", "\\liminf"}
ROOMY = table.BINARY - {"/", "|", "*", "!"}
NARROW_ACCENTS = SHAPES.keys() & {
    *("\\hat", "\\check", "\\breve", "\\acute", "\\grave"),
    *("\\tilde", "\\dot", "\\ddot", "\\bar", "\\vec"),
}
WIDE_ACCENTS = {
    "\\overline": "\\bar",
    "\\widehat": "\\hat",
    "\\widetilde": "\\tilde",
    "\\overrightarrow": "\\vec",
    "\\overleftarrow": "\\overleftarrow",
    "\\overleftrightarrow": "\\overleftrightarrow",
    "\\overbrace": "\\overbrace",
}
UNDER_ACCENTS = {"\\underline": "\\bar", "\\underbrace": "\\underbrace"}


@dataclass(frozen=True)
class WrittenFormula:
    """A formula that a sample can load: without `rng` always the same, and with it written anew each time."""

    bank: StrokeBank
    tokens: tuple[str, ...]
    seed: int

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB.

        Raises:
            CantWriteError: the bank lacks a symbol.
        """
        return draw(write(self.bank, self.tokens, rng or np.random.default_rng(self.seed)), rng)


def written_samples(
    formulas: Sequence[tuple[str, ...]], bank: StrokeBank, seed: int, most: int | None = None
) -> list[Sample]:
    """The first `most` formulas (or all) that the bank can write, as samples named by their place in the sequence."""
    samples: list[Sample] = []
    for number, tokens in enumerate(formulas):
        if len(samples) == most:
            break
        if can_write(bank, tokens):
            picture = WrittenFormula(bank, tokens, seed * 1_000_003 + number)
            name = f"written/{number}"
            samples.append(Sample(name, tokens, picture, source="handwritten", dataset="written", origin=name))
    return samples


def can_write(bank: StrokeBank, tokens: Sequence[str]) -> bool:
    """Whether the bank has every symbol of a normalised formula."""
    try:
        write(bank, tokens, np.random.default_rng(0))
    except CantWriteError:
        return False
    return True


def write(bank: StrokeBank, tokens: Sequence[str], rng: np.random.Generator) -> list[np.ndarray]:
    """Pen strokes (N, 2) float32 of a normalised formula, in em.

    Raises:
        CantWriteError: the bank lacks a symbol, or the formula has a construct that isn't written by hand.
    """
    piece = _Writer(bank, tokens, rng).row(parse(list(tokens)), 1.0)
    if not piece.strokes:
        raise CantWriteError(" ".join(tokens) or "an empty formula")
    return [stroke.astype(np.float32) for stroke in piece.strokes]


@dataclass
class Piece:
    """Strokes and the room that they take."""

    width: float = 0.0
    top: float = 0.0
    bottom: float = 0.0
    strokes: list[np.ndarray] = field(default_factory=list)

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def add(self, other: Piece, x: float, y: float) -> None:
        """Put another piece in: its origin comes to (x, y)."""
        if other.strokes:
            first = not self.strokes
            self.top = other.top + y if first else min(self.top, other.top + y)
            self.bottom = other.bottom + y if first else max(self.bottom, other.bottom + y)
            offset = np.array([x, y], dtype=np.float32)
            self.strokes += [stroke + offset for stroke in other.strokes]
        self.width = max(self.width, x + other.width)


def _piece(strokes: list[np.ndarray]) -> Piece:
    """What encloses the strokes, which begin at x = 0."""
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    return Piece(float(high[0]), float(low[1]), float(high[1]), strokes)


class _Writer:
    """Somebody who writes one formula: his hand, and how evenly he writes."""

    def __init__(self, bank: StrokeBank, tokens: Sequence[str], rng: np.random.Generator) -> None:
        self.bank, self.rng = bank, rng
        self.hand = bank.hand(tokens, rng)
        self.space = rng.uniform(0.04, 0.22)  # em between letters
        self.room = rng.uniform(0.1, 0.4)  # em beside relations
        self.unevenness = rng.uniform(0.01, 0.09)
        self.touching = rng.choice([0.0, rng.uniform(0, 0.15)])  # share of neighbours
        self.wobble = rng.uniform(0.02, 0.12)  # of sizes and places
        self.drift = rng.uniform(0, 0.06)  # of the baseline, from symbol to symbol
        self.script = rng.uniform(0.5, 0.85)
        self.fraction = rng.uniform(0.75, 1.0)
        self.operator = rng.uniform(0.65, 1.0)
        self.limits_beside = rng.random() < 0.2
        self.integral_limits_beside = rng.random() < 0.85

    def about(self, value: float, spread: float = 0.2) -> float:
        """A length near the value."""
        return value * float(np.exp(spread * np.clip(self.rng.normal(), -2, 2)))

    # ------------------------------------------------------------------------------------------------ lines

    def row(self, nodes: Sequence[Node], em: float, word: bool = False) -> Piece:
        """Nodes side by side; those of a word without room for relations."""
        line, x, y = Piece(), 0.0, 0.0
        before: Node | None = None
        for node, piece in zip(nodes, self._pieces(nodes, em), strict=True):
            if node.kind is Kind.GAP:
                x += self.about(0.8, 0.3) * em
            elif piece.strokes:
                x += self._space(before, node, em, word) if before else 0.0
                y = 0.8 * y + self.rng.normal(0, self.drift) * em
                line.add(piece, max(0.0, x), y)
                x = max(0.0, x) + piece.width
                before = node
        return line

    def _space(self, before: Node, node: Node, em: float, word: bool) -> float:
        if self.rng.random() < self.touching:
            return -self.rng.uniform(0, 0.1) * em
        space = self.space
        if word:
            space *= 0.6
        elif em > 0.7 and (node.token in ROOMY or before.token in ROOMY):
            space += self.room
        elif before.token in table.BIG_OPERATORS or before.token in table.OPERATORS or before.token == ",":
            space += 0.5 * self.room
        return em * max(-0.05, space + self.rng.normal(0, self.unevenness))

    def _pieces(self, nodes: Sequence[Node], em: float) -> list[Piece]:
        """Each node as a piece; brackets as high as what is between them, bars in the middle as the brackets."""
        pieces: list[Piece] = []
        open_at: list[int] = []
        for at, node in enumerate(nodes):
            closes = node.kind is Kind.RIGHT or (node.kind is Kind.ATOM and node.token in table.CLOSING)
            if node.kind is Kind.LEFT or (node.kind is Kind.ATOM and node.token in table.OPENING):
                open_at.append(at)
            if closes and open_at:
                start = open_at.pop()
                inside = Piece()
                for piece in pieces[start + 1 :]:
                    inside.add(piece, 0, 0)
                for place in range(start, at):
                    if place == start or nodes[place].kind is Kind.MIDDLE:
                        pieces[place] = self._scripted(nodes[place], self._fence(nodes[place].token, inside, em), em)
                pieces.append(self._scripted(node, self._fence(node.token, inside, em), em))
            else:
                pieces.append(self._scripted(node, self._body(node, em), em))
        return pieces

    def _fence(self, token: str, inside: Piece, em: float) -> Piece:
        """A delimiter, grown in height and less in width where what it holds is higher than itself."""
        plain = self._delimiter(token, em)
        if not plain.strokes or inside.height <= plain.height:
            return plain
        growth = self.about(1.05, 0.06) * inside.height / max(plain.height, 0.5 * em)
        grown = _piece([stroke * np.array([growth**0.5, growth]) for stroke in plain.strokes])
        piece = Piece()
        piece.add(grown, 0, (inside.top + inside.bottom) / 2 - (grown.top + grown.bottom) / 2)
        return piece

    def _delimiter(self, token: str, em: float) -> Piece:
        return Piece() if token == "." else self._symbol(token, em)

    def _symbol(self, token: str, em: float) -> Piece:
        """A symbol in its box: as large in the diagonal, so that thin ones keep their length, and none is distorted."""
        if not token:  # the missing base of a script
            return Piece()
        glyph = self.hand.glyph(token)
        box = self.bank.boxes[token]
        diagonal = float(np.hypot(box.width, box.bottom - box.top))
        if token in table.BIG_OPERATORS:
            diagonal *= self.operator
        scale = em * self.about(diagonal, self.wobble) / max(float(np.hypot(glyph.width, glyph.height)), 1e-3)
        middle = em * ((box.top + box.bottom) / 2 + self.rng.normal(0, 0.4 * self.wobble))
        offset = np.array([0, middle - scale * glyph.height / 2], dtype=np.float32)
        return _piece([stroke * np.float32(scale) + offset for stroke in glyph.strokes])

    # ---------------------------------------------------------------------------------------------- one node

    def _body(self, node: Node, em: float) -> Piece:
        """A node without its scripts."""
        match node.kind:
            case Kind.ATOM:
                return self._word(node.token, em)
            case Kind.LEFT | Kind.RIGHT | Kind.MIDDLE:
                return self._delimiter(node.token, em)
            case Kind.GROUP:
                return self.row(node.rows[0], em)
            case Kind.COMMAND:
                return self._command(node, em)
            case Kind.ALPHABET if node.token == "\\mathrm":
                return self.row(node.rows[0], em, word=True)
            case Kind.TEXT if node.token == "text":
                return self._text(node.words, em)
            case Kind.TABLE if node.token == "matrix":
                return self._table(node.rows[0], em)
            case Kind.GAP | Kind.THIN | Kind.PHANTOM:
                return Piece()
        raise CantWriteError(f"\\begin{{{node.token}}}" if node.kind is Kind.TABLE else node.token)

    def _word(self, token: str, em: float) -> Piece:
        """A symbol; the name of a function that nobody wrote is written letter by letter."""
        if token in table.OPERATORS and token not in self.bank:
            return self._text(list(token[1:]), em)
        return self._symbol(token, em)

    def _text(self, words: Sequence[str], em: float) -> Piece:
        return self.row([Node(Kind.GAP if word == CONTROL_SPACE else Kind.ATOM, word) for word in words], em, word=True)

    def _command(self, node: Node, em: float) -> Piece:
        token, rows = node.token, node.rows
        if token in NARROW_ACCENTS or token in WIDE_ACCENTS:
            return self._accented(token, self.row(rows[0], em), em)
        if token in UNDER_ACCENTS:
            return self._underlined(UNDER_ACCENTS[token], self.row(rows[0], em), em)
        match token:
            case "\\frac":
                return self._fraction(rows[0], rows[1], em)
            case "\\binom":
                pair = self._pile([self.row(row, em * self.fraction) for row in rows], 0.25 * em, em)
                return self._enclosed("(", pair, ")", em)
            case "\\sqrt":
                return self._root(self.row(rows[0], em), node.option, em)
            case "\\stackrel":
                return self._limits(self.row(rows[1], em), None, self._script(rows[0], em), em)
            case "\\underset":
                return self._limits(self.row(rows[1], em), self._script(rows[0], em), None, em)
            case "\\substack":
                return self._table(rows[0], em)
            case "\\pmod":
                inside = Piece()
                inside.add(self._text(["m", "o", "d"], em), 0, 0)
                inside.add(self.row(rows[0], em), inside.width + self.about(0.4) * em, 0)
                return self._enclosed("(", inside, ")", em)
        raise CantWriteError(token)

    def _enclosed(self, left: str, inside: Piece, right: str, em: float) -> Piece:
        piece = Piece()
        for part in (self._fence(left, inside, em), inside, self._fence(right, inside, em)):
            piece.add(part, piece.width + (self.about(0.5 * self.space) * em if piece.strokes else 0), 0)
        return piece

    # ---------------------------------------------------------------------------------------------- scripts

    def _script(self, row: Sequence[Node], em: float) -> Piece:
        return self.row(row, max(SMALLEST, em * float(np.clip(self.about(self.script, 0.08), 0.5, 0.85))))

    def _scripted(self, node: Node, base: Piece, em: float) -> Piece:
        """The base with its scripts: beside it, or below and above where they are limits."""
        if not node.sub and not node.sup:
            return base
        below = self._script(node.sub, em) if node.sub else None
        above = self._script(node.sup, em) if node.sup else None
        braced = node.token in ("\\overbrace", "\\underbrace")
        beside = self.integral_limits_beside if node.token in INTEGRALS else self.limits_beside
        if braced or (not beside and node.token in LIMITS | INTEGRALS):
            return self._limits(base, below, above, em)
        return self._beside(base, below, above, em)

    def _beside(self, base: Piece, below: Piece | None, above: Piece | None, em: float) -> Piece:
        """A superscript ends above the middle of the base, a subscript begins below it, and they don't meet."""
        piece, gap = Piece(), self.about(0.1) * em
        piece.add(base, 0, 0)
        highest = -np.inf
        x = base.width + self.rng.uniform(-0.02, 0.12) * em
        if above and above.strokes:
            y = min(-self.about(0.42) * em, base.top + self.about(0.25) * em)
            y = min(y, (base.top + base.bottom) / 2 - above.bottom)
            piece.add(above, x, y)
            highest = y + above.bottom + gap
        if below and below.strokes:
            y = max(self.about(0.2) * em, base.bottom - self.about(0.05) * em)
            y = max(y, (base.top + base.bottom) / 2 - below.top, highest - below.top)
            piece.add(below, x + self.rng.uniform(-0.08, 0.02) * em, y)
        return piece

    def _limits(self, base: Piece, below: Piece | None, above: Piece | None, em: float) -> Piece:
        """Limits centred below and above the base, more or less."""
        parts: list[tuple[Piece, float]] = [(base, 0.0)]
        if above and above.strokes:
            parts.append((above, base.top - self.about(0.18) * em - above.bottom))
        if below and below.strokes:
            parts.append((below, base.bottom + self.about(0.18) * em - below.top))
        return self._centred(parts, em)

    def _centred(self, parts: Sequence[tuple[Piece, float]], em: float) -> Piece:
        """Pieces at their heights, in the middle of the widest."""
        piece, width = Piece(), max(part.width for part, _ in parts)
        for part, y in parts:
            free = width - part.width
            piece.add(part, float(np.clip(free / 2 + self.rng.normal(0, 0.08) * em, 0, free)), y)
        return piece

    # ------------------------------------------------------------------------- fractions, roots, accents, tables

    def _rule(self, width: float, em: float) -> np.ndarray:
        """A line of the pen to the right, a little bent; it begins at (0, 0)."""
        along = np.linspace(0, 1, max(8, int(3 * width / em)))
        bend = np.sin(np.pi * along) * self.rng.normal(0, 0.02) + along * self.rng.normal(0, 0.02)
        return np.stack([along * width, bend * min(width, 3 * em)], axis=1)

    def _fraction(self, upper: Sequence[Node], lower: Sequence[Node], em: float) -> Piece:
        above, below = (self.row(row, max(SMALLEST, em * self.fraction)) for row in (upper, lower))
        width = max(above.width, below.width, 0.3 * em) + self.rng.uniform(0.05, 0.4) * em
        bar = _piece([self._rule(width, em) + np.array([0, -AXIS * em])])
        parts = [(bar, 0.0)]
        parts.append((above, bar.top - self.about(0.14, 0.3) * em - above.bottom))
        parts.append((below, bar.bottom + self.about(0.14, 0.3) * em - below.top))
        return self._centred(parts, em)

    def _root(self, inside: Piece, index: Sequence[Node], em: float) -> Piece:
        """The radical is one stroke: a tick, down, up to the bar, and the bar."""
        gap = self.about(0.12, 0.3) * em
        hook = self.about(0.35) * (em + 0.25 * max(0.0, inside.height - em))
        bar = self._rule(inside.width + gap + self.rng.uniform(0.05, 0.3) * em, em)
        top = min(inside.top, -0.4 * em) - gap - max(0.0, float(bar[:, 1].max()))
        bottom = max(inside.bottom, 0.0) + self.rng.uniform(-0.1, 0.1) * em
        tick = bottom - self.rng.uniform(0.35, 0.6) * (bottom - top)
        start = [[0, tick + self.rng.uniform(0, 0.12) * em], [0.3 * hook, tick], [0.6 * hook, bottom]]
        radical = _piece([np.concatenate([start, bar + np.array([hook, top])])])
        piece, x = Piece(), 0.0
        if index:
            small = self._script(index, 0.8 * em)
            x = max(0.0, small.width - 0.3 * hook)
            piece.add(small, 0, tick - 0.1 * em - small.bottom)
        piece.add(radical, x, 0)
        piece.add(inside, x + hook + gap * self.rng.uniform(0.2, 1), 0)
        return piece

    def _shape(self, name: str, width: float, height: float) -> Piece:
        strokes = [stroke * np.array([width, height]) for stroke in SHAPES[name]]
        piece = _piece(strokes)
        piece.width = width
        return piece

    def _accented(self, token: str, base: Piece, em: float) -> Piece:
        narrow = token in NARROW_ACCENTS
        width = self.about(0.4) * em if narrow else max(base.width, 0.3 * em)
        name = token if narrow else WIDE_ACCENTS[token]
        accent = self._shape(name, width, self.about(0.2) * em)
        return self._centred([(base, 0.0), (accent, base.top - self.about(0.12) * em - accent.bottom)], em)

    def _underlined(self, name: str, base: Piece, em: float) -> Piece:
        accent = self._shape(name, max(base.width, 0.3 * em), self.about(0.2) * em)
        return self._centred([(base, 0.0), (accent, base.bottom + self.about(0.12) * em - accent.top)], em)

    def _table(self, nodes: Sequence[Node], em: float) -> Piece:
        """Rows of cells, the columns centred or to the left, the whole centred on the axis."""
        cells = [[self.row(cell, em) for cell in _split(row, Kind.CELL)] for row in _split(nodes, Kind.ROW)]
        columns = max(len(row) for row in cells)
        widths = [max((row[k].width for row in cells if k < len(row)), default=0.0) for k in range(columns)]
        gap, share = self.about(0.9, 0.3) * em, 0.0 if self.rng.random() < 0.4 else 0.5
        lines = []
        for row in cells:
            line, x = Piece(width=sum(widths) + gap * (columns - 1)), 0.0
            for cell, width in zip(row, widths, strict=False):
                line.add(cell, x + share * (width - cell.width), 0)
                x += width + gap
            lines.append(line)
        return self._pile(lines, self.about(0.3, 0.3) * em, em)

    def _pile(self, lines: Sequence[Piece], gap: float, em: float) -> Piece:
        """Lines one below the other, centred on the axis."""
        pile, y = Piece(), 0.0
        width = max(line.width for line in lines)
        for line in lines:
            pile.add(line, (width - line.width) / 2, y - line.top)
            y += line.height + self.about(gap)
        piece = Piece()
        piece.add(pile, 0, -(pile.top + pile.bottom) / 2 - AXIS * em)
        return piece


def _split(nodes: Sequence[Node], kind: Kind) -> list[list[Node]]:
    parts: list[list[Node]] = [[]]
    for node in nodes:
        if node.kind is kind:
            parts.append([])
        else:
            parts[-1].append(node)
    return parts
