r"""Several lines in one label: a ``matrix`` of one column, as which `normalize` writes aligned lines of any kind."""

from __future__ import annotations

from collections.abc import Sequence

BEGIN, ROW, END = r"\begin{matrix}", r"\\", r"\end{matrix}"


def stack(lines: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """One label for lines that stand below one another."""
    tokens = [BEGIN, *lines[0]]
    for line in lines[1:]:
        tokens += [ROW, *line]
    return (*tokens, END)


def count_lines(tokens: Sequence[str]) -> int:
    """How many lines a label has: the rows, if all of it is a matrix of one column, else 1."""
    if not tokens or (tokens[0], tokens[-1]) != (BEGIN, END):
        return 1
    lines, depth = 1, 0
    for token in tokens[1:-1]:
        depth += (token == "{" or token.startswith(r"\begin{")) - (token == "}" or token.startswith(r"\end{"))
        if depth < 0 or (depth == 0 and token == "&"):  # the matrix ends before the label does, or it is a table
            return 1
        lines += depth == 0 and token == ROW
    return lines
