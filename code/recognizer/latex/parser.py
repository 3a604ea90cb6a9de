r"""Read tokens into a tree, as TeX groups them; no spelling is judged here (`normalizer` does that).

Broken input is read the one obvious way: open groups and environments end with what is around them, stray
closing ones are skipped, a missing argument is empty, a second script of one kind continues the first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

from . import synonyms as table
from .tokenizer import CONTROL_SPACE, TEXT_DEPTH, characters

MAX_DEPTH = 100
"""Deeper nesting is no formula, and Python's stack is finite."""


class TooDeepError(Exception):
    """The formula nests deeper than `MAX_DEPTH`."""


class Kind(Enum):
    """What a node is; its children are given as rows of nodes."""

    ATOM = auto()  # a token by itself; an empty one is the missing base of a script
    GROUP = auto()  # {row}
    COMMAND = auto()  # token, rows as arguments, perhaps an option
    ALPHABET = auto()  # \mathrm{row}
    TEXT = auto()  # \text{words}
    VERBATIM = auto()  # \ce{words}
    TABLE = auto()  # an environment, its row holding CELL and ROW
    UNKNOWN = auto()  # a command that isn't in the tables, with the groups behind it
    PHANTOM = auto()  # a gap as wide as its row
    LEFT = auto()  # \left and its delimiter
    RIGHT = auto()
    MIDDLE = auto()
    GAP = auto()  # wide space
    THIN = auto()  # space that no reader sees
    CELL = auto()  # &
    ROW = auto()  # \\
    INFIX = auto()  # \over
    SWITCH = auto()  # \rm


class Node:
    """One thing of a formula with its scripts."""

    __slots__ = ("kind", "option", "rows", "sub", "sup", "token", "words")

    def __init__(self, kind: Kind, token: str = "", *rows: list[Node]) -> None:
        self.kind = kind
        self.token = token
        self.rows = rows
        self.option: list[Node] = []
        self.words: list[str] = []  # of TEXT and VERBATIM; of a TABLE its column pattern
        self.sub: list[Node] = []
        self.sup: list[Node] = []


def parse(tokens: list[str]) -> list[Node]:
    """Tokens in the spelling of `synonyms` -> a row of nodes. Raises only `TooDeepError`."""
    return _Parser(tokens).row()


_NO_BASE = frozenset([Kind.GAP, Kind.THIN, Kind.CELL, Kind.ROW, Kind.INFIX, Kind.SWITCH])
_ENDS_ARGUMENT = frozenset(["}", "&", r"\\"])
_SCRIPTS = frozenset(["^", "_"])
_NUMBER = r"[-+]?\d*[.,]?\d*"
_REGISTER = r"\\(?:[a-z]*(?:skip|width|height|depth|size|sep|space|indent|length|amount)|jot)"  # TeX's own lengths
_UNIT = rf"pt|em|ex|mm|cm|in|pc|mu|sp|bp|{_REGISTER}"
_LENGTH = re.compile(rf"({_NUMBER})({_UNIT})(?:(?:plus|minus){_NUMBER}(?:fil{{1,3}}|{_UNIT}))*")
_LENGTH_OR_COUNT = re.compile(rf"{_LENGTH.pattern}|[-+]?\d++(?![.,])")
_NO_LENGTH = re.compile(r"[-+]?[.,]?0[0.,]*(?:[a-z]{2})?")
_LONGEST_LENGTH = 40  # tokens
_GAP_FROM = {"em": 0.5, "ex": 1.2, "mu": 9.0, "pt": 5.0, "mm": 1.8, "cm": 0.18, "in": 0.07, "pc": 0.42}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-=,.()<>/|:;!*?")
_SYMBOLS = {
    **dict.fromkeys(table.SYMBOLS | _PLAIN, Kind.ATOM),
    **dict.fromkeys(table.THIN, Kind.THIN),
    **dict.fromkeys(table.WIDE, Kind.GAP),
    **dict.fromkeys(table.INFIX, Kind.INFIX),
    **dict.fromkeys(table.SWITCHES, Kind.SWITCH),
    "&": Kind.CELL,
}
_UNWRAPPED_IN_TEXT = table.UNWRAPPED | {command: table.BOXES[command] for command in table.BOXES.keys() - table.FRAMES}
_OUTER_FONT = frozenset(["text", "mbox", "hbox"])  # within other text these have the font of that
_FORMULA_ENDS = {"$": "$", r"\(": r"\)"}
_NUMBERED = frozenset([r"\eqno", r"\leqno"])
_NOT_IN_TEXT = frozenset(["^", r"\|", r"\dots"]).union(
    (token for token in table.SYMBOLS - {r"\AA"} if len(token) > 2),
    table.ARGUMENTS.keys() - {r"\underline"},
    table.TEXT_SCRIPTS,
    table.LENGTHS,
    table.VANISHING,
    table.DEFINITIONS,
    _NUMBERED,
    {r"\rule", r"\mathchoice"},
)
"""In text these are what they are in a formula; two characters of text have names of two: ``\\%``, ``\\S``."""


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0
        self.open_groups = 0
        self.open_tables = 0
        self.dollar_is_ink = tokens.count("$") % 2 == 1
        self.brackets = _matching_brackets(tokens) if "[" in tokens else {}

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def skip(self, token: str) -> None:
        if self.peek() == token:
            self.position += 1

    def descend(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeepError

    def row(self, end: str = "") -> list[Node]:
        """Nodes up to, and without, the token that closes the innermost open construct."""
        self.descend()
        nodes: list[Node] = []
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            if token == "}" or token[:5] == r"\end{":
                if self.open_groups if token == "}" else self.open_tables:
                    break
                self.position += 1
            elif token == end:
                break
            else:
                self.node(nodes)
        self.depth -= 1
        return nodes

    def node(self, nodes: list[Node]) -> None:
        """Read one thing and append it, or its script to the last node."""
        token = self.tokens[self.position]
        self.position += 1
        kind = _SYMBOLS.get(token)
        if kind:
            nodes.append(Node(kind, token))
        elif token == "^":
            script = self.argument()
            _base(nodes).sup += script
        elif token == "_":
            script = self.argument()
            _base(nodes).sub += script
        elif token == "'":
            prime = Node(Kind.ATOM, r"\prime")
            leads = not nodes or nodes[-1].token == r"\prime"  # as in `f^{''}`
            (nodes if leads else _base(nodes).sup).append(prime)
        elif token == "{":
            nodes.append(Node(Kind.GROUP, "", self.group()))
        elif token == r"\\":
            self.row_options()
            nodes.append(Node(Kind.ROW))
        elif token == "$":
            if self.dollar_is_ink:
                nodes.append(Node(Kind.ATOM, r"\$"))
        elif token == r"\limits":
            self.limits(nodes)
        elif token[0] == "\\":
            if token not in table.NO_INK:
                self.command(token, nodes)
        elif token.isprintable():
            nodes.append(Node(Kind.ATOM, token))

    def group(self) -> list[Node]:
        """The row in braces, the opening one already read."""
        self.open_groups += 1
        nodes = self.row()
        self.open_groups -= 1
        self.skip("}")
        return nodes

    def argument(self) -> list[Node]:
        """The next group or single thing, as a command or a script takes it; none before a closing token."""
        if self.peek() == "{":
            self.position += 1
            return self.group()
        self.descend()
        nodes: list[Node] = []
        open_fences = 0
        while not nodes or nodes[-1].kind is Kind.THIN or open_fences > 0:
            token = self.peek()
            if not token or token in _ENDS_ARGUMENT or token[:5] == r"\end{":
                break
            if token in _SCRIPTS and not open_fences:
                break
            self.node(nodes)
            open_fences += _is_fence(token, r"\left") - _is_fence(token, r"\right")
        self.depth -= 1
        return nodes

    def option(self) -> list[Node]:
        """``[ 3 ]`` behind a root or an arrow."""
        if self.position not in self.brackets:
            return []
        self.position += 1
        nodes = self.row("]")
        self.skip("]")
        return nodes

    def raw_argument(self) -> list[str]:
        """The tokens of the next argument as they are: lengths, names, column patterns, words."""
        start = self.position
        if self.peek() != "{":
            self.position = min(start + 1, len(self.tokens))
            return self.tokens[start : self.position]
        depth = 0
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            self.position += 1
            depth += (token == "{") - (token == "}")
            if depth == 0:
                return self.tokens[start + 1 : self.position - 1]
        return self.tokens[start + 1 :]

    def verbatim(self, token: str) -> Node:
        """An argument as it is; a formula like any other where its braces don't close, or nest too deep for text."""
        depth = deepest = 0
        for following in self.tokens[self.position :]:
            depth += (following == "{") - (following == "}")
            deepest = max(deepest, depth)
            if depth <= 0:
                break
        if depth or not 0 < deepest <= TEXT_DEPTH + 1:
            return Node(Kind.GROUP, "", self.argument())
        node = Node(Kind.VERBATIM, token)
        node.words = self.raw_argument()
        return node

    def row_options(self) -> None:
        r"""``\\[2pt]`` and ``\\*[2pt]``; a star or a bracket that holds no length belongs to the next row."""
        start = self.position + (self.peek() == "*")
        close = self.brackets.get(start)
        if close is not None and _LENGTH.fullmatch("".join(self.tokens[start + 1 : close])):
            self.position = close + 1

    def command(self, token: str, nodes: list[Node]) -> None:
        name = token[1:]
        if token[:7] == r"\begin{":
            nodes.append(self.table(token[7:-1]))
        elif _is_fence(token, r"\left"):
            nodes.append(Node(Kind.LEFT, _delimiter(name[4:])))
        elif _is_fence(token, r"\right"):
            nodes.append(Node(Kind.RIGHT, _delimiter(name[5:])))
        elif _is_fence(token, r"\middle"):
            nodes.append(Node(Kind.MIDDLE, _delimiter(name[6:])))
        elif token in table.SIZES:
            self.sized_delimiter(table.SIZES[token], nodes)
        elif token in table.ALPHABETS:
            nodes.append(Node(Kind.ALPHABET, token, self.argument()))
        elif token in table.ARGUMENTS:
            node = Node(Kind.COMMAND, token)
            if token in table.OPTIONAL:
                node.option = self.option()
            node.rows = tuple(self.argument() for _ in range(table.ARGUMENTS[token]))
            nodes.append(node)
        elif token in table.BOXES:
            self.hidden(table.BOXES[token])
            text = self.text("text")
            nodes.append(Node(Kind.COMMAND, r"\boxed", [text]) if token in table.FRAMES else text)
        elif name in table.TEXT_FONTS:
            nodes.append(self.text(name))
        elif token in table.INTERTEXTS:
            nodes += [Node(Kind.ROW), self.text("text"), Node(Kind.ROW)]
        elif token in table.VERBATIM:
            nodes.append(self.verbatim(token))
        elif token in (r"\operatorname", r"\operatornamewithlimits"):
            self.skip("*")
            nodes.append(Node(Kind.ALPHABET, r"\mathrm", self.argument()))
        elif token == r"\dots":
            nodes.append(Node(Kind.ATOM, self.dots()))
        elif token in table.LENGTHS:
            self.skip("*")
            nodes.append(Node(Kind.GAP if _is_wide(self.length()) else Kind.THIN))
        elif token == r"\rule":
            nodes.append(self.rule())
        elif token in table.VANISHING:
            self.hidden(table.VANISHING[token])
        elif token in table.DEFINITIONS and defined(self.tokens, self.position) in table.STRETCHES:
            self.hidden("mm")
        elif token in _NUMBERED:
            self.rest_of_cell()
        elif token in (r"\phantom", r"\hphantom"):
            nodes.append(Node(Kind.PHANTOM, "", self.argument()))
        elif token == r"\genfrac":
            nodes += self.general_fraction()
        elif token in table.UNWRAPPED:
            self.hidden(table.UNWRAPPED[token])
            nodes.append(Node(Kind.GROUP, "", self.argument()))
        elif token == r"\mathchoice":  # of a formula in display, in a line, in a script, in a script's script
            nodes.append(Node(Kind.GROUP, "", self.argument()))
            self.hidden("mmm")
        elif token == r"\cfrac":
            self.option()
            nodes.append(Node(Kind.COMMAND, r"\frac", self.argument(), self.argument()))
        elif token == r"\buildrel":
            nodes += self.built_relation()
        elif token == r"\root":
            nodes += self.plain_root()
        elif token == r"\above":
            nodes.append(Node(Kind.INFIX, r"\atop" if _NO_LENGTH.fullmatch(self.length()) else r"\over"))
        elif token in table.TEXT_SCRIPTS:
            base = _base(nodes)
            (base.sup if token == r"\textsuperscript" else base.sub).append(self.text("text"))
        elif name in table.PLAIN_TABLES and self.peek() == "{":
            nodes.append(Node(Kind.TABLE, table.PLAIN_TABLES[name], self.argument()))
        else:
            nodes.append(self.unknown(token))

    def hidden(self, what: str) -> None:
        """Skip what shows nowhere, in the letters of `synonyms.VANISHING`."""
        for each in what:
            if each == "m":
                self.raw_argument()
            elif each == "s":
                self.skip("*")
            elif each == "l":
                self.length()
            elif each == "w" and self.tokens[self.position : self.position + 2] == ["t", "o"]:
                self.position += 2
                self.length()
            while each == "o" and self.position in self.brackets:
                self.option()

    def rest_of_cell(self) -> None:
        """Skip all up to the end of a cell, row or group."""
        while self.peek() not in ("", *_ENDS_ARGUMENT) and self.peek()[:5] != r"\end{":
            self.raw_argument()

    def dots(self) -> str:
        r"""What ``\dots`` is before the next token; a colon tells it only with another, as it may be a ``\colon``."""
        between_colons = self.tokens[self.position - 2 : self.position - 1] == [":"] == [self.peek()]
        return r"\cdots" if between_colons or self.peek() in table.CENTRED else r"\ldots"

    def limits(self, nodes: list[Node]) -> None:
        r"""Scripts above and below a relation: `\mathop{=}\limits^a` is `\stackrel{a}{=}`."""
        base = nodes[-1].rows[0] if nodes and nodes[-1].kind is Kind.GROUP else []
        if len(base) != 1 or base[0].token not in table.BINARY:
            return
        while self.peek() in _SCRIPTS:
            command = r"\stackrel" if self.peek() == "^" else r"\underset"
            self.position += 1
            nodes[-1] = Node(Kind.COMMAND, command, self.argument(), [nodes[-1]])

    def built_relation(self) -> list[Node]:
        r"""``\buildrel above \over relation``."""
        above = self.row(r"\over")
        if self.peek() != r"\over":
            return above
        self.position += 1
        return [Node(Kind.COMMAND, r"\stackrel", above, self.argument())]

    def plain_root(self) -> list[Node]:
        r"""``\root index \of radicand``."""
        index = self.row(r"\of")
        if self.peek() != r"\of":
            return index
        self.position += 1
        node = Node(Kind.COMMAND, r"\sqrt", self.argument())
        node.option = index
        return [node]

    def unknown(self, token: str) -> Node:
        """A command of which nothing is known: the groups behind it may be its arguments, so they stay."""
        groups = []
        while self.peek() == "{" and token[1:2].isalpha():
            groups.append(self.argument())
        return Node(Kind.UNKNOWN, token, *groups)

    def general_fraction(self) -> list[Node]:
        r"""``\genfrac{left}{right}{thickness}{style}{above}{below}``."""
        left, right, thickness, _ = ("".join(self.raw_argument()) for _ in range(4))
        above, below = self.argument(), self.argument()
        if thickness[:1] == "0" and (left, right) == ("(", ")"):
            return [Node(Kind.COMMAND, r"\binom", above, below)]
        if thickness[:1] == "0":
            inside = [*above, Node(Kind.INFIX, r"\atop"), *below]
        else:
            inside = [Node(Kind.COMMAND, r"\frac", above, below)]
        left, right = (token if token in table.DELIMITERS else "." for token in (_delimiter(left), _delimiter(right)))
        return [Node(Kind.LEFT, left), Node(Kind.GROUP, "", inside), Node(Kind.RIGHT, right)]

    def sized_delimiter(self, side: str, nodes: list[Node]) -> None:
        r"""``\Bigl(``: a size that the author chose; bars still tell left from right by it."""
        braced = self.peek() == "{" and self.tokens[self.position + 2 : self.position + 3] == ["}"]
        at = self.position + braced
        token = _delimiter(self.tokens[at]) if at < len(self.tokens) else ""
        if token not in table.DELIMITERS and token != ".":
            return
        self.position = at + 1 + braced
        if token == "." and side not in ("l", "r"):
            return  # it isn't drawn, and has no partner
        kind = {"l": Kind.LEFT, "r": Kind.RIGHT}.get(side, Kind.ATOM) if token in (*table.BARS, ".") else Kind.ATOM
        nodes.append(Node(kind, token))

    def length(self) -> str:
        """``{3pt}``, ``3pt plus 1fil``, or what is set: ``=3pt``, ``100``; empty where there is none."""
        self.skip("=")
        if self.peek() == "{":
            return "".join(self.raw_argument())
        following = "".join(self.tokens[self.position : self.position + _LONGEST_LENGTH])
        found = _LENGTH_OR_COUNT.match(following.replace(CONTROL_SPACE, ""))  # blanks of text are tokens
        length = found.group() if found else ""
        unread = len(length)
        while unread > 0:
            unread -= len(self.peek().replace(CONTROL_SPACE, ""))
            self.position += 1
        return length

    def rule(self) -> Node:
        r"""``\rule[raised]{width}{height}``: without height it is a gap, without width nothing."""
        self.hidden("o")
        width, height = self.raw_argument(), self.raw_argument()
        if all(_is_some_length("".join(length)) for length in (width, height)):
            return Node(Kind.UNKNOWN, r"\rule", *([Node(Kind.ATOM, each) for each in row] for row in (width, height)))
        return Node(Kind.GAP if _is_wide("".join(width)) else Kind.THIN)

    def text(self, name: str) -> Node:
        """Words as a group, and among them formulas: what is marked as one, and symbols that text doesn't have."""
        inner = _Parser(characters(" ".join(self.raw_argument())))
        inner.depth, inner.dollar_is_ink = self.depth, self.dollar_is_ink
        inner.descend()
        nodes: list[Node] = []
        bold = False
        while token := inner.peek():
            if token in _FORMULA_ENDS and not (token == "$" and self.dollar_is_ink):
                inner.position += 1
                formula = inner.row(_FORMULA_ENDS[token])
                nodes.append(Node(Kind.ALPHABET, r"\boldsymbol", formula) if bold else Node(Kind.GROUP, "", formula))
                inner.skip(_FORMULA_ENDS[token])
            elif token in (r"\boldmath", r"\unboldmath"):
                inner.position += 1
                bold = token == r"\boldmath"
            elif token in _NOT_IN_TEXT or inner.tokens[inner.position : inner.position + 2] == ["_", "{"]:
                if token == "^" and nodes and nodes[-1].words[-1:] in ([CONTROL_SPACE], ["~"]):
                    nodes.append(Node(Kind.ATOM))  # or the gap before it would go: `25 °`
                inner.node(nodes)
            elif token in _UNWRAPPED_IN_TEXT:
                inner.position += 1
                inner.hidden(_UNWRAPPED_IN_TEXT[token])
            elif token[:1] == "\\" and token[1:] in table.TEXT_FONTS:
                inner.position += 1
                if token[1:] not in _OUTER_FONT and table.TEXT_FONTS[token[1:]] != table.TEXT_FONTS[name]:
                    nodes.append(inner.text(token[1:]))
            elif token == r"\underline" or token in table.FRAMES:
                inner.position += 1
                inner.hidden(table.BOXES.get(token, ""))
                line = r"\boxed" if token in table.FRAMES else token
                nodes.append(Node(Kind.COMMAND, line, [inner.text(name)]))
            else:
                if not nodes or nodes[-1].kind is not Kind.TEXT or nodes[-1].sup or nodes[-1].sub:
                    nodes.append(Node(Kind.TEXT, name))
                nodes[-1].words.append(token)
                inner.position += 1
        return Node(Kind.GROUP, "", nodes)

    def table(self, name: str) -> Node:
        r"""An environment, its ``\begin`` already read."""
        starred, name = name.endswith("*"), name.rstrip("*")
        if starred if name in table.MATRICES else name in table.WITH_OPTION:
            self.option()
        columns: list[str] = []
        if name in table.WITH_ARGUMENT and self.peek() == "{":
            columns = self.raw_argument()
        self.open_tables += 1
        node = Node(Kind.TABLE, name, self.row())
        node.words = columns
        self.open_tables -= 1
        if self.peek()[:5] == r"\end{":
            self.position += 1
        return node


_DELIMITER_STARTS = tuple("\\()[]|/.<>")


def _is_fence(token: str, command: str) -> bool:
    """Whether the token is the command with its delimiter."""
    return token.startswith(command) and token[len(command) : len(command) + 1] in _DELIMITER_STARTS


def _delimiter(token: str) -> str:
    token = table.SYNONYMS.get(token, token)
    return table.FENCE_SYNONYMS.get(token, token)


def defined(tokens: Sequence[str], place: int) -> str:
    r"""What is defined by a ``\def`` or ``\renewcommand`` before a place."""
    name = tokens[place : place + 2]
    return name[-1] if name[:1] == ["{"] else "".join(name[:1])


def _is_some_length(length: str) -> bool:
    return bool(_LENGTH.fullmatch(length)) and not _NO_LENGTH.fullmatch(length)


def _is_wide(length: str) -> bool:
    """From half an em on, a reader sees a gap."""
    found = _LENGTH.match(length)
    if not found or found.group(2) not in _GAP_FROM:
        return False
    number = found.group(1).replace(",", ".")
    return bool(number.strip("+-.")) and float(number) >= _GAP_FROM[found.group(2)]


def _base(nodes: list[Node]) -> Node:
    """The node that a script belongs to; an empty one where there is none."""
    if not nodes or nodes[-1].kind in _NO_BASE:
        nodes.append(Node(Kind.ATOM))
    return nodes[-1]


def _matching_brackets(tokens: list[str]) -> dict[int, int]:
    """Position of each ``[`` -> position of the next ``]`` in the same braces."""
    match: dict[int, int] = {}
    nearest: list[int | None] = [None]
    for position in range(len(tokens) - 1, -1, -1):
        token = tokens[position]
        if token == "}":
            nearest.append(None)
        elif token == "{":
            nearest.pop()
            nearest = nearest or [None]
        elif token == "]":
            nearest[-1] = position
        elif token == "[":
            close = nearest[-1]
            if close is not None:
                match[position] = close
    return match
