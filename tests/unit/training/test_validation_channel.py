"""What is wrong with a validation channel is said of it, and left out if bad samples are, as in the train channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from recognizer.data.sample import DataError
from recognizer.training.data import JobData, prepare
from recognizer.training.distributed import Ranks
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_training import SPEC, settings


@pytest.fixture
def channels(tmp_path: Path) -> tuple[Path, Path]:
    """`train` with a tokens.txt of digits and a plus; `validation` may hold what it wants."""
    train, validation = (write_tiny_dataset(tmp_path / side, 6) for side in ("train", "validation"))
    (validation / "tokens.txt").unlink()
    return train, validation


def prepared(channels: tuple[Path, Path], on_bad_sample: str = "error", max_tokens: int = 20) -> JobData:
    return prepare(settings(on_bad_sample=on_bad_sample, max_tokens=max_tokens), *channels, SPEC, None, Ranks())


def relabel(channel: Path, label: str, count: int) -> None:
    """Gives the first `count` pictures another label."""
    labels = channel / "gt.txt"
    lines = labels.read_text().splitlines(keepends=True)
    relabelled = [f"{line.partition(chr(9))[0]}\t{label}\n" for line in lines[:count]]
    labels.write_text("".join(relabelled + lines[count:]))


def test_a_bad_line_left_out_is_told(channels: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with (channels[1] / "gt.txt").open("a") as labels:
        labels.write("missing.png\t1 + 1\n")
    assert len(prepared(channels, "skip").validation_samples) == 6
    assert "validation: skipped 1 bad samples:\n  gt.txt:7: picture 'missing.png'" in capsys.readouterr().out


def test_labels_that_are_no_latex_are_told(channels: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    relabel(channels[0], "1 + {2", 1)
    relabel(channels[1], "1 ^", 2)
    assert len(prepared(channels).validation_samples) == 6
    told = capsys.readouterr().out
    assert "train: 1 labels are no LaTeX" in told and "\n  gt.txt:1: token 3: { is never closed\n" in told
    assert "validation: 2 labels are no LaTeX" in told and "gt.txt:2: token 2: ^ lacks an argument" in told


def test_a_token_that_training_does_not_have_is_refused_or_left_out(
    channels: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    relabel(channels[1], "z", 2)
    with pytest.raises(DataError) as refused:
        prepared(channels)
    assert str(refused.value).startswith(f"{channels[1]}: gt.txt:1: token 'z' is not in the vocabulary")
    assert "tokens.txt of the train channel" in str(refused.value) and "1 more" in str(refused.value)
    data = prepared(channels, "skip")
    assert len(data.validation_samples) == 4 and "z" not in data.vocabulary
    assert "validation: skipped 2 bad samples:\n  gt.txt:1: token 'z'" in capsys.readouterr().out


def test_a_channel_of_unknown_tokens_alone_is_refused(channels: tuple[Path, Path]) -> None:
    relabel(channels[1], "z", 6)
    with pytest.raises(DataError, match=r"no usable sample in it; the first of 6 bad lines: gt.txt:1: token 'z'"):
        prepared(channels, "skip")


def test_without_a_token_list_its_tokens_belong_to_the_vocabulary(channels: tuple[Path, Path]) -> None:
    relabel(channels[1], "z", 2)
    (channels[0] / "tokens.txt").unlink()
    data = prepared(channels)
    assert len(data.validation_samples) == 6 and "z" in data.vocabulary


@pytest.mark.parametrize(("number", "side"), [(0, "train"), (1, "validation")])
def test_a_channel_of_long_labels_alone_is_named(channels: tuple[Path, Path], number: int, side: str) -> None:
    relabel(channels[number], "1 + 1 + 1 + 1", 6)
    with pytest.raises(DataError, match=f"^{side}: all 6 labels have max_tokens=5 tokens or more"):
        prepared(channels, max_tokens=5)
