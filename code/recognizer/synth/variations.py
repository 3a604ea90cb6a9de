r"""Formulas changed at random: other letters, digits, words, alphabets, accents, signs and brackets in the same layout.

Whoever learns from real formulas alone learns what they usually say, and then reads `\mathbf{X}` as X, `\mathrm{taps}`
as `tops`, 0.0031308 as 0.0, `!A` as 1A, an italic max as `\max`. In a varied formula nothing can be guessed, so each
symbol must be looked at; and signs that real collections hardly have (`\ll`, `\Diamond`) are met in formulas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from recognizer.latex.synonyms import BIG_OPERATORS, OPERATORS, OPTIONAL
from recognizer.synth.symbols import CAPITAL_GREEK, DIGITS, GREEK, LOWER, UPPER

GREEK_LETTERS = (*GREEK, "\\varpi", "\\varsigma", "\\varkappa")
# A symbol is replaced by one of its class.
CLASSES = (DIGITS, LOWER, UPPER, GREEK_LETTERS, (*CAPITAL_GREEK, "\\Upsilon"))
ALPHABETS = {"\\mathbf": 6, "\\mathrm": 1, "\\mathsf": 1, "\\mathcal": 2, "\\mathbb": 2, "\\mathfrak": 1}
RELATIONS = r"""= < > \leq \geq \neq \approx \equiv \sim \simeq \cong \propto \ll \gg \leqslant \geqslant \leqq \geqq
    \lesssim \gtrsim \prec \succ \preceq \succeq \subset \supset \subseteq \supseteq \subsetneq \supsetneq \nsubseteq
    \sqsubseteq \sqsupseteq \in \ni \notin \asymp \doteq \vdash \dashv \vDash \Vdash \trianglelefteq \nmid \therefore
    \because \bowtie \smile \frown \preccurlyeq \succcurlyeq \nleq \ngeq \nless \ngtr \nprec \nsucc \lessgtr \gtrless
    \triangleq \circeq \approxeq \trianglerighteq \triangleleft \triangleright \subseteqq \nsupseteq \Subset \lll \ggg
    \nsim \ncong \nparallel \precsim \succsim \lessapprox \gtrapprox \nvdash \nvDash \sqsubset \sqsupset \multimap
    \between \lessdot \gtrdot \vartriangleleft \vartriangleright \lesseqgtr \gtreqless \eqsim \bumpeq \Bumpeq
    \pitchfork \lneq \gneq \npreceq \nsucceq \lnsim \gnsim \Supset \subsetneqq \supsetneqq \backsim \nleqslant
    \ngeqslant \nleqq \ngeqq \lneqq \gneqq \lvertneqq \gvertneqq \lnapprox \gnapprox \precneqq \succneqq \precnsim
    \succnsim \precnapprox \succnapprox \precapprox \succapprox \curlyeqprec \curlyeqsucc \eqslantless \eqslantgtr
    \lesseqqgtr \gtreqqless \eqcirc \doteqdot \risingdotseq \fallingdotseq \backsimeq \nVdash \nVDash \Vvdash
    \ntriangleleft \ntriangleright \ntrianglelefteq \ntrianglerighteq \nsubseteqq \nsupseteqq \supseteqq
    \varsubsetneq \varsupsetneq \varsubsetneqq \varsupsetneqq \backepsilon"""
ARROWS = r"""\rightarrow \leftarrow \Rightarrow \Leftarrow \Leftrightarrow \leftrightarrow \mapsto \longrightarrow
    \longleftarrow \longleftrightarrow \Longrightarrow \Longleftrightarrow \longmapsto \hookrightarrow \hookleftarrow
    \twoheadrightarrow \rightharpoonup \rightharpoondown \rightleftharpoons \rightleftarrows \rightsquigarrow
    \uparrow \downarrow \updownarrow \Uparrow \Downarrow \nearrow \searrow \swarrow \nwarrow \nrightarrow \nleftarrow
    \nleftrightarrow \nRightarrow \nLeftarrow \nLeftrightarrow \Longleftarrow \rightrightarrows \leftleftarrows
    \leftrightarrows \leftrightharpoons \leftharpoonup \leftharpoondown \twoheadleftarrow \rightarrowtail \Updownarrow
    \curvearrowright \curvearrowleft \circlearrowright \circlearrowleft \looparrowright \looparrowleft
    \upharpoonright \downharpoonright \upuparrows \leftrightsquigarrow \Lleftarrow \Rrightarrow \dashrightarrow
    \leftarrowtail \upharpoonleft \downharpoonleft \downdownarrows \Lsh \Rsh"""
BETWEEN = r"""+ - \times \cdot \pm \mp \div * / \circ \bullet \star \oplus \ominus \otimes \odot \cup \cap \uplus
    \wedge \vee \setminus \sqcup \sqcap \dagger \ddagger \amalg \diamond \rtimes \ltimes \wr \boxtimes \boxplus
    \boxminus \boxdot \oslash \circledast \circledcirc \barwedge \curlywedge \curlyvee \Cap \Cup \dotplus \intercal
    \bigcirc \smallsetminus \circleddash \veebar \divideontimes \leftthreetimes \rightthreetimes
    \doublebarwedge"""
SINGLE = r"""\infty \partial \nabla \emptyset \varnothing \forall \exists \nexists \neg \hbar \ell \Re \Im \aleph \wp
    \angle \top \perp \square \Diamond \bigstar \blacksquare \triangle \sharp \flat \natural \complement
    \checkmark ! ? \% \# \& \$ \S \heartsuit \diamondsuit \clubsuit \spadesuit \measuredangle \sphericalangle \mho \eth
    \beth \gimel \blacktriangle \triangledown \imath \jmath \surd \hslash
    \digamma \daleth \blacklozenge \Finv \Game \circledS \backprime \blacktriangledown \blacktriangleleft
    \blacktriangleright"""
OVER = r"""\overline \underline \widehat \widetilde \overrightarrow \overleftarrow \overleftrightarrow \overbrace
    \underbrace"""
MARKS = r"\tilde \hat \bar \dot \ddot \vec \overline \check \breve \acute \grave \mathring \dddot"
# Each sign is replaced by one of its row. Of signs that look alike (\models, \vDash) a row has one.
SIGNS = (
    *(tuple(row.split()) for row in (SINGLE, RELATIONS, ARROWS, BETWEEN, OVER)),
    *(tuple(sorted(commands)) for commands in (BIG_OPERATORS, OPERATORS)),
)
THINGS = SIGNS[0]
BRACKETS = {"(": ")", "[": "]", r"\{": r"\}", r"\langle": r"\rangle", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
GROWING = {r"\left" + opening: r"\right" + closing for opening, closing in BRACKETS.items()}
PAIRS = BRACKETS | GROWING
OF_CAPITALS = ("\\mathcal", "\\mathbb")
ACCENTS = tuple(MARKS.split())
WORDY = ("\\mathrm", "\\text", "\\mathit", "\\mathsf", "\\mathbf", "\\texttt")
UNITS = "m s kg N J K Pa mol W V A Hz C T g cm mm km ms L eV rad dB bar h lm cd F S"

# How much of a formula is changed. A part stays, so that layouts are still met with their usual symbols.
OTHER_DIGIT, OTHER_SYMBOL, OTHER_WORD, SPELT_AT_RANDOM = 0.7, 0.35, 0.7, 0.2
OTHER_SIGN, OTHER_BRACKETS, OPERATOR_IN_ITALICS, WORD_IN_ITALICS = 0.25, 0.15, 0.1, 0.3
WITH_ALPHABET, WITH_ACCENT, WITH_NUMBER, WITH_INDEX, WITH_THING = 0.35, 0.3, 0.15, 0.2, 0.25  # shares of the formulas
ACCENTED_THROUGHOUT = 0.5  # of the accented: a letter wherever it stands, so in indices too, as physicists dot them
LONGEST_WORD = 12  # letters


def words_of(formulas: Iterable[Sequence[str]]) -> list[str]:
    r"""All words of two letters or more inside `\mathrm{...}` and its like, each once."""
    found = {
        "".join(tokens[start:end])
        for tokens in formulas
        for start, end in _word_places(tokens)
        if end - start <= LONGEST_WORD
    }
    return sorted(found)


def vary(tokens: Sequence[str], words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """A formula's tokens with a part of its symbols changed; its layout stays. The label must be normalised anew.

    Args:
        words: from which other words are taken (`words_of`); may be empty.
    """
    changed = _other_words(tokens, words, rng)
    changed = _other_symbols(changed, rng)
    changed = _other_signs(changed, rng)
    changed = _other_brackets(changed, rng)
    if rng.random() < WITH_NUMBER:
        changed = _at_one(changed, [place for place, token in enumerate(changed) if token in DIGITS], number(rng), rng)
    if words and rng.random() < WITH_INDEX:
        indices = [place for place in _letters(changed) if changed[place - 2 : place] == ["_", "{"]]
        word = words[int(rng.integers(len(words)))]
        new = list(word) if rng.random() < WORD_IN_ITALICS else _braced("\\mathrm", word)
        changed = _at_one(changed, indices, new, rng)
    if rng.random() < WITH_THING:
        changed = _with_thing(changed, rng)
    if rng.random() < WITH_ALPHABET:
        changed = _in_alphabets(changed, rng)
    if rng.random() < WITH_ACCENT:
        changed = _accented(changed, rng)
    return changed


def quantity(rng: np.random.Generator) -> list[str]:
    r"""A quantity with its unit, or a unit in brackets: `9.81\ \mathrm{m/s^{2}}`."""
    unit: list[str] = []
    for part in range(int(rng.integers(1, 4))):
        if part:
            unit += [str(rng.choice(["/", "/", "*", "\\cdot"]))]
        unit += str(rng.choice(UNITS.split()))
        if rng.random() < 0.3:
            unit += ["^", "{", *(["-"] if rng.random() < 0.3 else []), str(rng.integers(1, 5)), "}"]
    if rng.random() < 0.5:
        unit = ["[", *unit, "]"]
    return [*(number(rng) if rng.random() < 0.4 else []), *_braced("\\mathrm", unit)]


def _other_words(tokens: Sequence[str], words: Sequence[str], rng: np.random.Generator) -> list[str]:
    changed = list(tokens)
    for start, end in reversed(list(_word_places(tokens))):
        if rng.random() < OTHER_WORD:
            if words and rng.random() > SPELT_AT_RANDOM:
                changed[start:end] = words[int(rng.integers(len(words)))]
            else:
                changed[start:end] = [other(token, rng) for token in tokens[start:end]]
    return changed


def _other_symbols(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Digits each by itself; a letter is the same wherever it stands, as in a real text."""
    letters = sorted({token for token in tokens if _is_letter(token)})
    renamed = {letter: other(letter, rng) for letter in letters if rng.random() < OTHER_SYMBOL}
    kept = {place for start, end in _word_places(tokens) for place in range(start, end)}
    changed = []
    for place, token in enumerate(tokens):
        if token in DIGITS:
            changed.append(other(token, rng) if rng.random() < OTHER_DIGIT else token)
        else:
            changed.append(token if place in kept else renamed.get(token, token))
    return changed


def _other_signs(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    r"""Relations, operators and the like, each by itself; `\max` may also become an italic max."""
    free = frozenset(_free(tokens))
    changed: list[str] = []
    for place, token in enumerate(tokens):
        if place in free and token in OPERATORS and rng.random() < OPERATOR_IN_ITALICS:
            changed += token[1:]
        else:
            changed.append(other(token, rng, SIGNS) if place in free and rng.random() < OTHER_SIGN else token)
    return changed


def _other_brackets(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    r"""Pairs become another kind of pair, `\left(` and `\right)` one that grows as they do."""
    changed = list(tokens)
    for opening, closing in _pairs(tokens):
        if rng.random() < OTHER_BRACKETS:
            kinds = GROWING if tokens[opening] in GROWING else BRACKETS
            changed[opening] = tuple(kinds)[int(rng.integers(len(kinds)))]
            changed[closing] = kinds[changed[opening]]
    return changed


def _pairs(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Places of brackets that close each other in one group or cell."""
    opened: list[list[int]] = [[]]  # in each of the groups around
    for place, token in enumerate(tokens):
        if token == "{" or token.startswith("\\begin"):
            opened.append([])
        elif (token == "}" or token.startswith("\\end")) and len(opened) > 1:
            opened.pop()
        elif token in ("&", "\\\\"):
            opened[-1] = []
        elif token in PAIRS and (token != "[" or tokens[max(place - 1, 0)] not in OPTIONAL):
            opened[-1].append(place)
        elif opened[-1] and token == PAIRS[tokens[opened[-1][-1]]]:
            yield opened[-1].pop(), place


def _with_thing(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    """With a sign where formulas hardly ever have it: before or behind a letter, or in its place."""
    places = _letters(tokens)
    if not places:
        return list(tokens)
    place = places[int(rng.integers(len(places)))]
    thing, letter = THINGS[int(rng.integers(len(THINGS)))], tokens[place]
    new = ([thing, letter], [letter, thing], [thing])[int(rng.integers(3))]
    return [*tokens[:place], *new, *tokens[place + 1 :]]


def _in_alphabets(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One to three of the formula's letters in an alphabet of their own, wherever they stand."""
    free = _letters(tokens)
    letters = sorted({tokens[place] for place in free if tokens[place] in LOWER or tokens[place] in UPPER})
    if not letters:
        return list(tokens)
    names, weights = list(ALPHABETS), np.array(list(ALPHABETS.values()), float)
    chosen = {}
    for letter in rng.permutation(letters)[: int(rng.integers(1, 4))].tolist():
        alphabet = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        chosen[letter] = "\\mathbf" if alphabet in OF_CAPITALS and letter in LOWER else alphabet
    return _throughout(tokens, free, chosen)


def _accented(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    changed = list(tokens)
    if rng.random() < ACCENTED_THROUGHOUT:
        return _accented_throughout(changed, rng)
    for _ in range(int(rng.integers(1, 3))):
        places = _letters(changed)
        accent = ACCENTS[int(rng.integers(len(ACCENTS)))]
        if places:
            place = places[int(rng.integers(len(places)))]
            changed[place : place + 1] = _braced(accent, [changed[place]])
    return changed


def _accented_throughout(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One of the letters with an accent wherever it stands free."""
    free = _letters(tokens)
    letters = sorted({tokens[place] for place in free})
    if not letters:
        return list(tokens)
    letter, accent = (among[int(rng.integers(len(among)))] for among in (letters, ACCENTS))
    return _throughout(tokens, free, {letter: accent})


def _throughout(tokens: Sequence[str], places: Iterable[int], commands: Mapping[str, str]) -> list[str]:
    """At these places each token that has a command as its argument."""
    free = frozenset(places)
    return [
        part
        for place, token in enumerate(tokens)
        for part in (_braced(commands[token], [token]) if place in free and token in commands else [token])
    ]


def _at_one(tokens: list[str], places: Sequence[int], new: Sequence[str], rng: np.random.Generator) -> list[str]:
    if not places:
        return tokens
    place = places[int(rng.integers(len(places)))]
    return [*tokens[:place], *new, *tokens[place + 1 :]]


def number(rng: np.random.Generator) -> list[str]:
    whole, rest = (rng.integers(0, 10, int(rng.integers(1, most))) for most in (4, 7))
    digits = list(map(str, whole.tolist()))
    return digits if rng.random() < 0.2 else [*digits, ".", *map(str, rest.tolist())]


def class_of(symbol: str, classes: Sequence[Sequence[str]] = CLASSES) -> Sequence[str]:
    """The symbols by which one is replaced, itself among them; none if it is of no class."""
    return next((each for each in classes if symbol in each), ())


def other(symbol: str, rng: np.random.Generator, classes: Sequence[Sequence[str]] = CLASSES) -> str:
    """Another symbol of the same class, or the same if it is of none."""
    among = class_of(symbol, classes) or [symbol]
    return among[int(rng.integers(len(among)))]


def _is_letter(token: str) -> bool:
    return any(token in each for each in CLASSES[1:])


def _letters(tokens: Sequence[str]) -> list[int]:
    """Places of letters that stand free."""
    return [place for place in _free(tokens) if _is_letter(tokens[place])]


def _free(tokens: Sequence[str]) -> list[int]:
    r"""Places that are in no `\mathrm{...}`, accent or environment of their own already."""
    taken: set[int] = set()
    for place, token in enumerate(tokens):
        if token.startswith(("\\math", "\\text", "\\begin", "\\boldsymbol", "\\ce")) or token in ACCENTS:
            taken.update(range(place, end_of_group(tokens, place + 1)))
    return [place for place in range(len(tokens)) if place not in taken]


def _word_places(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    r"""(start, end) of each run of two letters or more inside `\mathrm{...}` and its like."""
    for place, token in enumerate(tokens):
        if token in WORDY and list(tokens[place + 1 : place + 2]) == ["{"]:
            end = end_of_group(tokens, place + 1)
            start = place + 2
            for at in range(start, end):
                if tokens[at] not in LOWER and tokens[at] not in UPPER:
                    if at - start >= 2:
                        yield start, at
                    start = at + 1


def end_of_group(tokens: Sequence[str], place: int) -> int:
    r"""Behind what closes the brace or `\begin` at `place`; the place behind it if there is none."""
    depth = 0
    for at in range(place, len(tokens)):
        token = tokens[at]
        depth += (token == "{" or token.startswith("\\begin")) - (token == "}" or token.startswith("\\end"))
        if depth == 0:
            return at + 1
    return len(tokens)


def _braced(command: str, inside: Iterable[str]) -> list[str]:
    return [command, "{", *inside, "}"]
