"""The formulas of textbooks and homework as templates: `formulas/level1.txt` to `level5.txt`, filled in by chance.

What the files hold is told in `formulas/README.md`. They are data, so that a kind of formula is one more line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from recognizer.synth import symbols
from recognizer.synth.expressions import Expressions
from recognizer.synth.structures import matrix, polynomial, proposition, set_term
from recognizer.synth.symbols import Draw

FOLDER = Path(__file__).parent / "formulas"

TABLES = {
    "rel": symbols.RELATIONS,
    "srel": symbols.SCHOOL_RELATIONS,
    "op": symbols.OPERATORS,
    "sop": symbols.SCHOOL_OPERATORS,
    "algop": symbols.ALGEBRA_OPERATORS,
    "setop": symbols.SET_OPERATORS,
    "setrel": symbols.SET_RELATIONS,
    "member": symbols.MEMBERSHIP,
    "logic": symbols.LOGIC,
    "arrow": symbols.ARROWS,
    "fun": symbols.FUNCTIONS,
    "trig": symbols.TRIG,
    "dots": symbols.DOTS,
    "numset": symbols.NUMBER_SETS,
    "accent": symbols.ACCENTS,
    "alphabet": symbols.ALPHABETS,
    "Greek": symbols.CAPITAL_GREEK,
    "greek": symbols.GREEK,
}

_GROUP = re.compile(r"\[(\w+) ([\d.]+)\]")
_INNERMOST = re.compile(r"<([^<>]*)>")
_NAMED = re.compile(r"([A-Za-z]\w*)=(?!$)(.*)", re.DOTALL)


@dataclass
class Group:
    """Templates of one kind."""

    name: str
    weight: float
    templates: list[str] = field(default_factory=list)


class TemplateError(ValueError):
    """A template file can't be used. The message names file, line and remedy."""


@cache
def groups_of_level(level: int) -> tuple[Group, ...]:
    """The groups of `formulas/level<level>.txt`.

    Raises:
        TemplateError: a line is outside of a group, or has an unknown placeholder.
    """
    path = FOLDER / f"level{level}.txt"
    return tuple(read_groups(path.read_text(encoding="utf-8"), path.name))


def read_groups(text: str, file: str) -> list[Group]:
    """Groups in the text of a template file called `file`.

    Raises:
        TemplateError: as above.
    """
    groups: list[Group] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        header = _GROUP.fullmatch(line)
        if header:
            groups.append(Group(header[1], float(header[2])))
            continue
        if not groups:
            raise TemplateError(
                f"{file}, line {number}: a template before the first group; write [name weight] above it"
            )
        _check(line, f"{file}, line {number}")
        groups[-1].templates.append(line)
    for group in groups:
        if not group.templates:
            raise TemplateError(f"{file}: group [{group.name}] has no template; add one or remove it")
    return groups


def _check(template: str, place: str) -> None:
    names: set[str] = set()
    rest = template
    while found := _INNERMOST.search(rest):
        content = found[1]
        named = _NAMED.fullmatch(content)
        if named:
            names.add(named[1])
            content = named[2]
        kind = content.partition(":")[0]
        choices = content.split("|")
        if len(choices) > 1 and (forgotten := [choice for choice in choices if len(choice) > 1 and choice in KINDS]):
            raise TemplateError(f"{place}: {forgotten[0]} in <{content}> is literal; write <{forgotten[0]}>")
        if "|" not in content and kind not in KINDS and kind not in names:
            known = ", ".join(sorted(KINDS))
            raise TemplateError(f"{place}: unknown placeholder <{content}>; known are {known}, and names given earlier")
        rest = rest[: found.start()] + rest[found.end() :]
    if "<" in rest or ">" in rest:
        raise TemplateError(f"{place}: unpaired < or >; write the relations as \\lt and \\gt")


class Filler:
    """Fills in templates for one formula.

    Args:
        draw: source of symbols.
        level: level of the expressions in it.
    """

    def __init__(self, draw: Draw, level: int) -> None:
        self.draw = draw
        self.make = Expressions(draw, level)
        self._named: dict[str, str] = {}

    def fill(self, template: str) -> str:
        """The template with all placeholders replaced, innermost first, from left to right."""
        text = template
        while found := _INNERMOST.search(text):
            text = f"{text[: found.start()]}{self._value(found[1])}{text[found.end() :]}"
        return text

    def _value(self, content: str) -> str:
        named = _NAMED.fullmatch(content)
        if named:
            value = self._named[named[1]] = self._value_of(named[2])
            return value
        return self._named[content] if content in self._named else self._value_of(content)

    def _value_of(self, content: str) -> str:
        if "|" in content:
            return self.draw.one(content.split("|"))
        kind, _, argument = content.partition(":")
        return KINDS[kind](self, argument)

    def _between(self, bounds: str) -> int:
        low, _, high = bounds.partition("-")
        return self.draw.integer(int(low), int(high or low))

    def _matrix(self, shape: str) -> str:
        rows, _, columns = shape.partition("x")
        return matrix(self.draw, self.make, int(rows or 0), int(columns or 0))


def _from_table(name: str) -> Callable[[Filler, str], str]:
    return lambda filler, _: filler.draw.weighted(TABLES[name])


KINDS: dict[str, Callable[[Filler, str], str]] = {
    "n": lambda filler, _: filler.draw.number(2),
    "n1": lambda filler, _: filler.draw.number(1),
    "n3": lambda filler, _: filler.draw.number(3),
    "dec": lambda filler, _: filler.draw.decimal(),
    "v": lambda filler, _: filler.draw.variable(),
    "l": lambda filler, _: filler.draw.letter(),
    "L": lambda filler, _: filler.draw.one(symbols.UPPER),
    "i": lambda filler, _: filler.draw.index(),
    "e": lambda filler, bounds: filler.make.expression(filler._between(bounds)),
    "poly": lambda filler, variable: polynomial(filler.draw, variable),
    "lin": lambda filler, variable: polynomial(filler.draw, variable, degree=1),
    "limits": lambda filler, _: filler.make.limits(),
    "matrix": lambda filler, shape: filler._matrix(shape),
    "set": lambda filler, bounds: set_term(filler.draw, filler._between(bounds)),
    "prop": lambda filler, bounds: proposition(filler.draw, filler._between(bounds)),
    **{name: _from_table(name) for name in TABLES},
}
