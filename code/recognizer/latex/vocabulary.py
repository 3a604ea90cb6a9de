r"""The tokens that a recognizer can write, and their ids.

The three special tokens are explicit: their ids are stored, never assumed, because a padding id taken for a
class is how the forerunners of this project lost whole trainings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz, process

from .normalizer import normalize
from .synonyms import BARS, CLOSING, OPENING
from .tokenizer import tokenize

PAD, BOS, EOS = SPECIALS = ("<pad>", "<bos>", "<eos>")
_FOREIGN_SPECIALS = frozenset(["<pad>", "<bos>", "<sos>", "<s>", "<eos>", "</s>", "<unk>", "<mask>"]).union(
    ["[pad]", "[bos]", "[sos]", "[cls]", "[eos]", "[sep]", "[unk]", "[mask]"]
)
"""Special tokens as other projects' files list them; none of them is LaTeX."""


class VocabularyError(ValueError):
    """A vocabulary that can't be used: says which file and line, or which key, and what to do."""


class UnknownTokenError(KeyError):
    """A token that the vocabulary doesn't hold.

    Attributes: `token`, and `suggestion`, the most similar token that it does hold (or None).
    """

    def __init__(self, token: str, suggestion: str | None) -> None:
        self.token = token
        self.suggestion = suggestion
        hint = f"; did you mean {suggestion!r}?" if suggestion else ""
        super().__init__(f"token {token!r} is not in the vocabulary{hint}")

    def __str__(self) -> str:
        return str(self.args[0])


class Vocabulary:
    """Tokens and ids, one to one; an id is the token's place."""

    def __init__(self, tokens: Iterable[str], pad: int = 0, bos: int = 1, eos: int = 2) -> None:
        self.tokens = tuple(tokens)
        self.pad, self.bos, self.eos = pad, bos, eos
        self._ids = {token: place for place, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise VocabularyError(f"vocabulary: token {twice!r} is listed twice; each token needs one id")
        for key, place in (("pad", pad), ("bos", bos), ("eos", eos)):
            if not 0 <= place < len(self.tokens):
                raise VocabularyError(f"vocabulary: {key} is {place}, expected an id from 0 to {len(self.tokens) - 1}")
        if len({pad, bos, eos}) != 3:
            raise VocabularyError(f"vocabulary: pad {pad}, bos {bos} and eos {eos} must differ")

    @classmethod
    def from_tokens(cls, tokens: Iterable[str]) -> Vocabulary:
        """Ordinary tokens -> a vocabulary with the special ones before them."""
        return cls([*SPECIALS, *tokens])

    @classmethod
    def from_file(cls, path: str | Path) -> Vocabulary:
        r"""Read a ``tokens.txt``: one token a line, in the spelling of the labels beside it.

        Blank lines are no tokens, and special tokens that the file lists give way to our own. A line holding
        only a backslash is the control space ``\ ``, whose blank an editor has cut off.

        Raises `VocabularyError` naming file and line for a token listed twice, and for a line with more than one.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise VocabularyError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
        seen: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            token = "\\ " if line.strip() == "\\" else line.strip()
            if not token or token.lower() in _FOREIGN_SPECIALS:
                continue
            if token in seen:
                raise VocabularyError(
                    f"{path}, line {number}: token {token!r} already stands in line {seen[token]}; remove one of them"
                )
            if len(token.split()) > 1 and tokenize(token) != [token]:
                raise VocabularyError(f"{path}, line {number}: expected one token, found {line!r}; one token a line")
            seen[token] = number
        if not seen:
            raise VocabularyError(f"{path}: no tokens; expected one token a line")
        return cls.from_tokens(seen)

    @classmethod
    def from_labels(cls, labels: Iterable[Sequence[str]]) -> Vocabulary:
        """All tokens of the labels, most frequent first, ties by code point: the same for any order of labels."""
        counts = Counter(token for label in labels for token in label)
        return cls.from_tokens(sorted(counts, key=lambda token: (-counts[token], token)))

    def normalized(self) -> Vocabulary:
        r"""These tokens as normalised labels spell them: ``'`` is ``\prime``, and ``\left(`` may also be ``(``.

        Words that normalising puts together (``\mathrm { s i n }`` is ``\sin``) only the labels themselves can tell.
        """
        kept = dict.fromkeys(["{", "}", "_", "^"])
        for token in self.tokens:
            if token not in SPECIALS:
                kept.update(dict.fromkeys(_normal_forms(token)))
        return Vocabulary.from_tokens(kept)

    def extended(self, tokens: Iterable[str]) -> Vocabulary:
        """With those of the tokens that it lacks behind its own, whose ids stay; special ones are never added."""
        own = {*self.tokens, *SPECIALS}
        return Vocabulary(
            [*self.tokens, *dict.fromkeys(t for t in tokens if t not in own)], self.pad, self.bos, self.eos
        )

    def without(self, tokens: Iterable[str]) -> Vocabulary:
        """Without these tokens, so that ids behind them move up. Raises `VocabularyError` for one that isn't there."""
        gone = {*tokens}
        if strange := gone - {*self.tokens} | gone & {*SPECIALS}:
            raise VocabularyError(f"vocabulary: token {min(strange)!r} can't be left out: it is none, or a special one")
        kept = [token for token in self.tokens if token not in gone]
        return Vocabulary(kept, *(kept.index(self.tokens[place]) for place in (self.pad, self.bos, self.eos)))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.tokens, self.pad, self.bos, self.eos))

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, pad={self.pad}, bos={self.bos}, eos={self.eos})"

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Tokens -> ids, without bos and eos. Raises `UnknownTokenError` at the first unknown token."""
        ids = self._ids
        try:
            return [ids[token] for token in tokens]
        except KeyError as error:
            raise UnknownTokenError(error.args[0], self._similar(error.args[0])) from None

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Ids -> tokens up to the first eos, without pad and bos. Raises IndexError for an id out of range."""
        tokens: list[str] = []
        for place in ids:
            if place == self.eos:
                break
            if not 0 <= place < len(self.tokens):
                raise IndexError(f"id {place} is outside the vocabulary of {len(self)} tokens")
            if place not in (self.pad, self.bos):
                tokens.append(self.tokens[place])
        return tokens

    def _similar(self, token: str) -> str | None:
        ordinary = [own for own in self.tokens if own not in SPECIALS]
        best = process.extractOne(token, ordinary, scorer=fuzz.ratio, score_cutoff=70)
        return best[0] if best else None

    def to_dict(self) -> dict[str, Any]:
        """The ``vocabulary`` of ``model.json``."""
        return {"tokens": list(self.tokens), "pad": self.pad, "bos": self.bos, "eos": self.eos}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Vocabulary:
        """Read ``model.json``'s ``vocabulary``. Raises `VocabularyError` naming the key that is wrong."""
        tokens = stored.get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise VocabularyError("vocabulary: key 'tokens' must be a list of strings")
        for key in ("pad", "bos", "eos"):
            if type(stored.get(key)) is not int:
                raise VocabularyError(f"vocabulary: key {key!r} must be an integer id, found {stored.get(key)!r}")
        unknown = set(stored) - {"tokens", "pad", "bos", "eos"}
        if unknown:
            raise VocabularyError(f"vocabulary: unknown key {min(unknown)!r}; expected tokens, pad, bos, eos")
        return cls(tokens, stored["pad"], stored["bos"], stored["eos"])


def _normal_forms(token: str) -> list[str]:
    """What a token of a label can turn into."""
    for command in (r"\left", r"\right"):
        delimiter = token.removeprefix(command)
        if delimiter != token and not delimiter[:1].isalpha():
            plain = tokenize(normalize(delimiter)) if delimiter != "." else []
            return [*(command + each for each in plain or ["."]), *plain]
    if token in ("{", "}", "_", "^", "&", "\\ ", r"\\") or token.startswith((r"\begin{", r"\end{")):
        return [token]
    forms = [new for new in tokenize(normalize(token)) if new not in ("{", "}")] or [token]
    sides = [r"\left"] * (forms[0] in OPENING | BARS) + [r"\right"] * (forms[0] in CLOSING | BARS)
    return forms + [side + forms[0] for side in sides]
