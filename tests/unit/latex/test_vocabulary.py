"""The vocabulary: ids, files, and what it says about unknown tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.latex import SPECIALS, UnknownTokenError, Vocabulary, VocabularyError, normalize, tokenize
from tests.support.latex import formulas

SMALL = Vocabulary.from_tokens(["x", "+", r"\frac", "{", "}", r"\alpha"])


def _file(folder: Path, text: str) -> Path:
    path = folder / "tokens.txt"
    path.write_bytes(text.encode())
    return path


def test_ids_follow_the_special_tokens() -> None:
    assert SMALL.tokens[:3] == SPECIALS
    assert (SMALL.pad, SMALL.bos, SMALL.eos) == (0, 1, 2)
    assert SMALL.encode(["x", "+", "x"]) == [3, 4, 3]


def test_O2_decoding_stops_at_the_end_and_drops_padding() -> None:
    assert SMALL.decode([1, 3, 0, 4, 2, 3, 3]) == ["x", "+"]
    with pytest.raises(IndexError, match="id 99 is outside"):
        SMALL.decode([99])


@given(st.lists(formulas().map(normalize).map(tokenize), min_size=1, max_size=5))
def test_labels_survive_encoding(labels: list[list[str]]) -> None:
    vocabulary = Vocabulary.from_labels(labels)
    for label in labels:
        assert vocabulary.decode([*vocabulary.encode(label), vocabulary.eos, vocabulary.pad]) == label
    assert Vocabulary.from_labels(reversed(labels)) == vocabulary
    assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary


def test_an_unknown_token_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(
        UnknownTokenError, match=r"'\\\\alhpa' is not in the vocabulary; did you mean '\\\\alpha'\?"
    ) as caught:
        SMALL.encode(["x", r"\alhpa"])
    assert (caught.value.token, caught.value.suggestion) == (r"\alhpa", r"\alpha")
    with pytest.raises(UnknownTokenError, match=r"'q' is not in the vocabulary$"):
        SMALL.encode(["q"])


def test_special_tokens_may_have_any_ids() -> None:
    vocabulary = Vocabulary(["x", "y", "<eos>", "<bos>", "<pad>"], pad=4, bos=3, eos=2)
    assert vocabulary.decode([3, 0, 4, 1, 2, 0]) == ["x", "y"]
    assert Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary


def test_a_file_may_end_in_a_newline_and_hold_blank_lines(tmp_path: Path) -> None:
    assert Vocabulary.from_file(_file(tmp_path, "x\r\n\r\n+\n\\frac\n\n")).tokens == (*SPECIALS, "x", "+", r"\frac")


@pytest.mark.parametrize(
    "specials", ["<PAD>\n<SOS>\n<EOS>\n", "[PAD]\n[BOS]\n[EOS]\n[UNK]\n", "<pad>\n<s>\n</s>\n", "\n"]
)
def test_special_tokens_of_a_file_give_way_to_ours(tmp_path: Path, specials: str) -> None:
    assert Vocabulary.from_file(_file(tmp_path, specials + "x\n<\n")).tokens == (*SPECIALS, "x", "<")


def test_a_lone_backslash_in_a_file_is_the_control_space(tmp_path: Path) -> None:
    assert "\\ " in Vocabulary.from_file(_file(tmp_path, "x\n\\\ny\n"))
    assert "\\ " in Vocabulary.from_file(_file(tmp_path, "x\n\\ \ny\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x\ny\nx\n", r"tokens.txt, line 3: token 'x' already stands in line 1"),
        ("x\ny z\n", r"tokens.txt, line 2: expected one token, found 'y z'"),
        ("\n\n", r"tokens.txt: no tokens"),
    ],
)
def test_a_bad_file_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        Vocabulary.from_file(_file(tmp_path, text))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_bytes("é\n".encode("latin-1"))
    with pytest.raises(VocabularyError, match="not UTF-8"):
        Vocabulary.from_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": None}, "'tokens' must be a list of strings"),
        ({"tokens": [1, 2, 3]}, "'tokens' must be a list of strings"),
        ({"pad": "0"}, "'pad' must be an integer"),
        ({"eos": True}, "'eos' must be an integer"),
        ({"eos": 99}, "eos is 99, expected an id from 0 to 8"),
        ({"eos": 1}, "must differ"),
        ({"unk": 3}, "unknown key 'unk'"),
        ({"tokens": ["x", "y", "z", "x"]}, "'x' is listed twice"),
    ],
)
def test_a_bad_stored_vocabulary_is_refused_by_key(change: dict[str, object], message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        Vocabulary.from_dict(SMALL.to_dict() | change)


def test_tokens_of_a_file_stay_expressible_when_labels_are_normalised() -> None:
    listed = [
        "x",
        "'",
        r"\left(",
        r"\right)",
        r"\left\{",
        r"\right.",
        r"\le",
        "%",
        r"\begin{matrix}",
        r"\end{matrix}",
        "&",
    ]
    listed += [r"\\", "\\ ", "|", r"\left|", r"\right|", r"\roman1", r"\cosec"]
    vocabulary = Vocabulary.from_tokens(listed).normalized()
    label = r"\left( x' \le 5 % \right) \left\{ \begin{matrix} x & x \\ x \  x \end{matrix} \right. \left| x \right|"
    vocabulary.encode(tokenize(normalize(label.replace("5", "x"))))
    vocabulary.encode([r"\roman1", r"\cosec"])
    assert vocabulary.normalized() == vocabulary
