r"""Bring LaTeX into one canonical spelling, so that one picture has one label.

The tree from `parser` is folded and written out; what is written reads back as the same tree, which is why
normalising twice changes nothing. What is folded, and why:

* braces: scripts and arguments always have them, other groups only where a script belongs to the group and
  would sit elsewhere without them;
* scripts: subscript first; primes are superscripts; an empty script is none;
* spelling: the tables in `synonyms`; old commands (``\rm``, ``\over``) become new ones (``\mathrm``, ``\frac``);
* alphabets: hold runs of what they change, and nothing else (`alphabets`);
* ink-less: thin spaces, styles, struts, settings and limits vanish, and so does a formula's number at the margin;
  a wide gap is the control space ``\ ``, however it was made;
* delimiters: stretched (``\left( \right)``) exactly around what is higher than a line, plain elsewhere. A reader
  of a picture can't tell ``\Bigl(`` from ``\left(``, and authors use either without system;
* tables: ``pmatrix``, ``cases`` and arrays without rules are what they draw, a ``matrix`` between delimiters;
  aligned lines are a ``matrix`` of one column. These are the forms in the competition's vocabulary.

Sizes and widths may change by this; the glyphs and their arrangement don't.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import synonyms as table
from .alphabets import in_alphabet, join
from .boxes import FENCES, Box, gap, is_tall, trim
from .delimiters import emit_stretched, fence_around, stretch, unstretch
from .parser import Kind, Node, TooDeepError, parse
from .tokenizer import CONTROL_SPACE, characters, tokenize


def normalize(latex: str) -> str:
    r"""Any string -> canonical tokens joined by single blanks (``x ^ { 2 }``); never raises.

    Idempotent, and `tokenize` cuts the answer into its tokens again. Formulas nested deeper than
    `parser.MAX_DEPTH` are only cut into tokens.
    """
    tokens = tokenize(latex)
    try:
        return " ".join(_write(parse(_respell(tokens))))
    except TooDeepError:
        return " ".join(tokens)


def _respell(tokens: list[str]) -> list[str]:
    spelling = table.SYNONYMS.get
    tokens = [spelling(token, token) for token in tokens]
    if table.EXPANSIONS.keys().isdisjoint(tokens):
        return tokens
    return [new for token in tokens for new in table.EXPANSIONS.get(token, [token])]


def _write(row: list[Node]) -> list[str]:
    return emit_stretched(_line(_boxes(row)))


# ------------------------------------------------------------------------------------------ nodes -> boxes


def _boxes(row: list[Node]) -> list[Box]:
    boxes: list[Box] = []
    for node in row:
        if node.kind is Kind.ATOM and node.token:
            own = [Box(Kind.ATOM, [node.token])]
        elif node.kind is Kind.THIN:
            continue
        else:
            own = _fold(node)
        if node.sub or node.sup:
            own = _with_scripts(own, _write(node.sub), _write(node.sup))
        boxes += own
    return boxes


def _with_scripts(base: list[Box], sub: list[str], sup: list[str]) -> list[Box]:
    """Hang scripts on the last box of the base, or on the whole base where that draws them elsewhere."""
    if not sub and not sup:
        return base
    base = trim(base)
    if not base:
        base = [Box(Kind.ATOM, ["{", "}"])]
    if len(base) > 1:
        base = stretch(base)  # what ends with half of a pair needs no braces: `{|\frac a b|}^2`
    last = base[-1]
    last.tokens = last.tokens or ["{", "}"]  # a delimiter that isn't drawn: `\begin{cases}\end{cases}'`
    whole = len(trim(base, leading=True)) == 1 or last.kind is Kind.RIGHT or last.is_plain(table.CLOSING)
    if last.has_script() or not (whole or not is_tall(base)):
        base = [last] = [Box(Kind.ATOM, ["{", *emit_stretched(base), "}"], is_tall(base))]
    last.sub, last.sup = sub, sup
    last.tall = last.tall or last.tokens[0] in table.BIG_OPERATORS
    return base


def _fold(node: Node) -> list[Box]:
    """The boxes of one node without its scripts."""
    match node.kind:
        case Kind.GROUP:
            return _line(_boxes(node.rows[0]))
        case Kind.COMMAND:
            return _command(node)
        case Kind.ALPHABET:
            return in_alphabet(node.token, _line(_boxes(node.rows[0])))
        case Kind.TEXT:
            return _words(node.token, node.words)
        case Kind.VERBATIM:
            return _verbatim(node)
        case Kind.TABLE:
            return _table(node)
        case Kind.UNKNOWN:
            return [_with_arguments([node.token], (_line(_boxes(row)) for row in node.rows))]
        case Kind.PHANTOM:
            return [gap()] if _write(node.rows[0]) else []
        case Kind.GAP:
            return [gap()]
        case Kind.ATOM:
            return []  # the missing base of a script
        case Kind.SWITCH:
            return [Box(Kind.SWITCH, [table.SWITCHES[node.token]])]
        case _:
            return [Box(node.kind, [node.token])]


def _with_arguments(tokens: list[str], rows: Iterable[list[Box]], tall: bool = False) -> Box:
    for boxes in rows:
        tall = tall or is_tall(boxes)
        tokens = [*tokens, "{", *emit_stretched(boxes), "}"]
    return Box(Kind.ATOM, tokens, tall)


def _command(node: Node) -> list[Box]:
    token = node.token
    if token == r"\substack":
        return _stack(_rows(_boxes(node.rows[0])), substack=True)
    if token == r"\not":
        return [_negated(_line(_boxes(node.rows[0])))]
    rows = [_line(_boxes(row)) for row in node.rows]
    if token in _SIDE_OF and (on_base := _on_base(_SIDE_OF[token], *rows)) is not None:
        return on_base
    tokens = [token]
    option = _write(node.option)
    if option:
        tokens += ["[", "{", *option, "}", "]"] if "]" in option else ["[", *option, "]"]
    return [_with_arguments(tokens, rows, tall=token in table.TALL)]


_SIDE_OF = {r"\stackrel": "sup", r"\underset": "sub"}


def _on_base(side: str, script: list[Box], base: list[Box]) -> list[Box] | None:
    r"""What draws the same as `\stackrel` or `\underset`: the base if nothing is added to it, an operator's limits."""
    if not trim(script, leading=True):
        return base
    core = trim(base, leading=True)
    if len(core) != 1 or core[0].tokens[0] not in table.WITH_LIMITS or getattr(core[0], side):
        return None
    setattr(core[0], side, emit_stretched(script))
    core[0].tall = core[0].tall or core[0].tokens[0] in table.BIG_OPERATORS
    return core


def _negated(boxes: list[Box]) -> Box:
    boxes = trim(boxes, leading=True)
    struck = emit_stretched(boxes)
    if len(struck) == 1 and struck[0] in table.NEGATIONS:
        return Box(Kind.ATOM, [table.NEGATIONS[struck[0]]])
    if len(boxes) == 1 and boxes[0].kind is Kind.ATOM and not boxes[0].has_script() and struck[:1] != ["{"]:
        return Box(Kind.ATOM, [r"\not", *struck])
    return Box(Kind.ATOM, [r"\not", "{", *struck, "}"])


_PUNCTUATION = frozenset(",.:;!?()")
_SAME_IN_TEXT = _PUNCTUATION | frozenset("[]/")
_IN_TEXT = {"_": r"\_", "&": r"\&", "$": r"\$"}
"""What a character with a meaning in formulas is called where it stands for itself."""
_TEXT_OF = {alphabet: text for text, (_, alphabet) in table.TEXT_FONTS.items()}
_TEXT_SWITCHES = {token: _TEXT_OF[alphabet] for token, alphabet in table.SWITCHES.items() if alphabet in _TEXT_OF}

_NO_TEXT = frozenset(["{", "}", "^"]).union(
    table.ARGUMENTS,
    table.UNWRAPPED,
    table.BOXES,
    table.SWITCHES,
    table.NO_INK,
    table.SIZES,
    table.INFIX,
    table.LENGTHS,
    table.VANISHING,
    table.THIN,
    {r"\rule"},
)
_TEXT_GAPS = frozenset([CONTROL_SPACE, "~", r"\\", *table.WIDE])


def _words(name: str, raw: list[str]) -> list[Box]:
    r"""Text. A single word looks the same in an alphabet; several words keep the gaps between them."""
    letters: list[str] = []
    for token in characters(" ".join(raw)):
        if token in _TEXT_SWITCHES:
            name = name if letters else _TEXT_SWITCHES[token]
        elif token in _TEXT_GAPS:
            if letters[-1:] != [CONTROL_SPACE]:
                letters.append(CONTROL_SPACE)
        elif token not in _NO_TEXT:
            letters.append(_IN_TEXT.get(token, token))
    start, end = 0, len(letters)
    while start < end and (letters[start] in _PUNCTUATION or letters[start] == CONTROL_SPACE):
        start += 1
    while start < end and (letters[end - 1] in _PUNCTUATION or letters[end - 1] == CONTROL_SPACE):
        end -= 1
    core = letters[start:end]
    text, alphabet = table.TEXT_FONTS[name]
    if all(len(letter) == 1 and (letter.isalnum() or letter in _SAME_IN_TEXT) for letter in core):
        middle = in_alphabet(alphabet, [Box(Kind.ATOM, [letter]) for letter in core])
    else:
        middle = [Box(Kind.ATOM, [text, "{", *core, "}"])]
    return [*_punctuation(letters[:start]), *middle, *_punctuation(letters[end:])]


def _punctuation(letters: list[str]) -> list[Box]:
    return [gap() if letter == CONTROL_SPACE else Box(Kind.ATOM, [letter]) for letter in letters]


def _verbatim(node: Node) -> list[Box]:
    words = characters(" ".join(node.words))
    while words and words[-1] == CONTROL_SPACE:
        words.pop()
    return [Box(Kind.ATOM, [node.token, "{", *words, "}"])] if words else []


# ------------------------------------------------------------------------------------------------- tables

_Row = list[list[Box]]  # the cells of a row


def _rows(boxes: list[Box]) -> list[_Row]:
    r"""Cut at ``\\`` and ``&``; without empty rows, and without the empty cells at a row's end."""
    rows: list[_Row] = []
    for line in _split(boxes, Kind.ROW):
        cells = [_line(cell) for cell in _split(line, Kind.CELL)]
        while cells and not trim(cells[-1]):
            cells.pop()
        if cells:
            rows.append(cells)
    return rows


def _split(boxes: list[Box], kind: Kind) -> list[list[Box]]:
    parts: list[list[Box]] = [[]]
    for box in boxes:
        if box.kind is kind:
            parts.append([])
        else:
            parts[-1].append(box)
    return parts


def _table(node: Node) -> list[Box]:
    name, rows = node.token, _rows(_boxes(node.rows[0]))
    if name in table.STACKS:
        return _stack(rows, gaps=name in table.PAIRED)
    if name in table.COLUMNS:
        columns = _columns(node.words)
        if "|" in columns or any(box.tokens == [r"\hline"] for row in rows for box in row[0]):
            return [_environment("array", ["{", *columns, "}"], rows)]
        return _matrix(rows)
    if name in table.MATRICES:
        left, right = table.MATRICES[name]
        return [Box(Kind.LEFT, [left]), *_matrix(rows), Box(Kind.RIGHT, [right])] if left else _matrix(rows)
    return [_environment(name, [], rows)]


_COLUMN = {**dict.fromkeys("lcrpmbX", "c"), "|": "|", ":": "|"}
"""How a column is aligned shows in no glyph; the rule between two columns does."""
_REPEATED = re.compile(r"\*\{?(\d{1,2})\}?\{((?:[^{}]|\{[^{}]*\})*)\}")
_RULE_BETWEEN = re.compile(r"[@!]\{[^{}]*(?:\||\\vrule|\\vline)[^{}]*\}")
_LONGEST_PATTERN = 500


def _columns(pattern: list[str]) -> list[str]:
    """Columns and rules; ``*{3}{c|}`` is written out, ``@{|}`` is a rule like any other."""
    text = "".join(pattern)
    repeated = 1
    while repeated and len(text) < _LONGEST_PATTERN:
        text = _RULE_BETWEEN.sub("|", text)
        text, repeated = _REPEATED.subn(lambda match: match[2] * int(match[1]), text)
    return [_COLUMN[letter] for letter in _outside_braces(text) if letter in _COLUMN]


def _outside_braces(tokens: Iterable[str]) -> list[str]:
    depth, outside = 0, []
    for token in tokens:
        depth += (token == "{") - (token == "}")
        if depth == 0:
            outside.append(token)
    return outside


def _matrix(rows: list[_Row]) -> list[Box]:
    if not rows:
        return []
    if len(rows) == len(rows[0]) == 1:
        return rows[0][0]
    return [_environment("matrix", [], rows)]


def _stack(rows: list[_Row], gaps: bool = False, substack: bool = False) -> list[Box]:
    """Lines of which the marks that align them leave no ink, but every second may stand for a gap."""
    lines = []
    for cells in rows:
        line = list(cells[0])
        for number, cell in enumerate(cells[1:], start=1):
            line += [gap(), *cell] if gaps and number % 2 == 0 else cell
        line = join(trim(line, leading=True))
        if line:
            lines.append(line)
    if len(lines) < 2:
        return lines[0] if lines else []
    if substack:
        return [Box(Kind.ATOM, [r"\substack", "{", *_emit_rows([[line] for line in lines]), "}"], tall=True)]
    return [_environment("matrix", [], [[line] for line in lines])]


def _environment(name: str, head: list[str], rows: list[_Row]) -> Box:
    tokens = [rf"\begin{{{name}}}", *head, *_emit_rows(rows), rf"\end{{{name}}}"]
    return Box(Kind.ATOM, tokens, tall=True)


def _emit_rows(rows: list[_Row]) -> list[str]:
    tokens: list[str] = []
    for number, cells in enumerate(rows):
        if number:
            tokens.append(r"\\")
        for place, cell in enumerate(cells):
            if place:
                tokens.append("&")
            inside = emit_stretched(cell)
            if number and not place and inside[:1] in (["["], ["*"]):
                tokens += ["{", "}"]  # or TeX would take it for an option of \\
            tokens += inside
    return tokens


# ---------------------------------------------------------------------------------------------- one line


def _line(boxes: list[Box]) -> list[Box]:
    """Resolve what reaches to a group's end: rows outside of any table, infix fractions, old font commands."""
    kinds = {box.kind for box in boxes}
    if Kind.ROW in kinds:
        return _stack(_rows(boxes))
    if Kind.CELL in kinds:
        boxes = [box for box in boxes if box.kind is not Kind.CELL]
    for kind in (Kind.INFIX, Kind.SWITCH):
        while kind in kinds and (places := [at for at, box in enumerate(boxes) if box.kind is kind]):
            boxes = _resolve(boxes, places)
    if not kinds.isdisjoint(FENCES):
        unstretch(boxes)
        boxes = [box for box in boxes if box.tokens]
    return join(boxes)


def _resolve(boxes: list[Box], places: list[int]) -> list[Box]:
    """Give the last infix or font command what it reaches; from the last on, so that none is left behind it."""
    at = places[-1]
    start, end = fence_around(boxes, at)
    after = _line(boxes[at + 1 : end])
    if boxes[at].kind is Kind.SWITCH:
        return [*boxes[:at], *in_alphabet(boxes[at].tokens[0], after), *boxes[end:]]
    start = max([start, *(place + 1 for place in places[:-1])])
    return [*boxes[:start], *_infix(boxes[at].tokens[0], _line(boxes[start:at]), after), *boxes[end:]]


def _infix(token: str, above: list[Box], below: list[Box]) -> list[Box]:
    tokens = ["{", *emit_stretched(above), "}", "{", *emit_stretched(below), "}"]
    if token == r"\over":
        return [Box(Kind.ATOM, [r"\frac", *tokens], tall=True)]
    if token == r"\choose":
        return [Box(Kind.ATOM, [r"\binom", *tokens], tall=True)]
    left, right = table.INFIX[token]
    pile = _stack([[above], [below]], substack=True)
    return [Box(Kind.LEFT, [left]), *pile, Box(Kind.RIGHT, [right])] if left else pile
