"""Hyperparameters: SageMaker's text, typed and bounded; mistakes are refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from recognizer.config import ConfigError, Hyperparameters, parse_arguments, unquote
from recognizer.models import REGISTRY, FormulaRecognizer


def settings(*arguments: str) -> Hyperparameters:
    return Hyperparameters.from_strings(parse_arguments(arguments))


def test_values_come_plain_or_quoted_by_a_launcher() -> None:
    plain = settings("--epochs", "3", "--learning-rate", "0.01", "--augment", "False", "--width", "96")
    quoted = settings("--epochs", '"3"', "--learning_rate", '"0.01"', "--augment=false", "--width", '"\\"96\\""')
    assert plain == quoted
    assert (plain.epochs, plain.learning_rate, plain.augment, plain.sizes["width"]) == (3, 0.01, False, 96)


def test_names_of_sagemaker_itself_are_passed_over() -> None:
    assert settings("--sagemaker_program", "train.py", "--_tuning_objective_metric", "x") == settings()


def test_a_recurrent_decoder_may_be_fed_its_own_tokens() -> None:
    assert settings("--recognizer", "attention", "--teacher-forcing", "0.5").teacher_forcing == 0.5


def test_a_larger_batch_has_room_for_its_pictures() -> None:
    assert settings().most_batch_pixels == settings("--batch-size", "2").most_batch_pixels == 300_000
    assert settings("--batch-size", "128").most_batch_pixels == 128 * 37_500
    assert settings("--batch-size", "128", "--batch-pixels", "5000").most_batch_pixels == 5000


def test_an_empty_value_means_the_default() -> None:
    assert settings("--max-minutes", "") == settings()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "3"], r"'epoch' is unknown .* did you mean 'epochs'\?"),
        (["--epochs", "many"], r"epochs='many': .*valid integer"),
        (["--epochs", "__import__('os').abort()"], r"epochs=.*valid integer"),
        (["--joined", "2.5"], r"joined='2.5': .*whole number of pictures, or a share"),
        (["--learning-rate", "-1"], r"learning_rate='-1': .*greater than 0"),
        (["--precision", "int8"], r"precision='int8': .*'auto', 'fp32', 'bf16' or 'fp16'"),
        (["--recognizer", "resnet"], r"recognizer='resnet': expected one of"),
        (["--width", "50"], "width 50 must be a multiple of heads"),
        (["--zoom", "0.2", "--augment", "false"], r"zoom=0.2 with augment=false: .*leave one of them out"),
        (["--deterministic", "--max-minutes", "4"], r"deterministic=true with max_minutes: .*set epochs instead"),
        (["--schedule", "linear"], r"schedule='linear': .*'cosine', 'step', 'plateau', 'one_cycle' or 'constant'"),
        (["--teacher-forcing", "0.5"], r"teacher_forcing=0.5: recognizer 'fast' sees .* set recognizer=attention"),
        (["--teacher-forcing", "0.5", "--recognizer", "srn"], r"recognizer 'srn' sees all tokens"),
        (["3"], r"argument '3': expected --name value"),
    ],
)
def test_O6_a_mistake_is_refused_by_name(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(*arguments)


def test_a_size_that_hides_behind_a_hyperparameter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could never be set: the job's own of that name would be."""

    class Sizes(BaseModel):
        scale: int = 2

    monkeypatch.setitem(REGISTRY, "mine", (FormulaRecognizer, Sizes))
    with pytest.raises(ConfigError, match="recognizer 'mine': its size 'scale' is the name of a hyperparameter"):
        settings("--recognizer", "mine")


@given(st.text(), st.integers(0, 3))
def test_unquote_undoes_any_number_of_json_encodings(text: str, times: int) -> None:
    encoded = text.strip()
    if encoded.startswith('"'):
        return  # a value that is a quoted string itself can't be told from a quoted value
    for _ in range(times):
        encoded = json.dumps(encoded)
    assert unquote(encoded) == text.strip()


@pytest.mark.parametrize("nothing", ["", "null", "None", '"None"'])
def test_what_launchers_make_of_none_is_the_default(nothing: str) -> None:
    assert Hyperparameters.from_strings({"max_minutes": nothing, "init": nothing}).max_minutes is None


def test_a_value_that_is_given_under_two_spellings_is_refused() -> None:
    with pytest.raises(ConfigError, match="'batch_size' is given twice"):
        Hyperparameters.from_strings({"batch-size": "4", "batch_size": "8"})


def test_a_seed_that_no_generator_takes_is_named() -> None:
    with pytest.raises(ConfigError, match="seed"):
        Hyperparameters.from_strings({"seed": str(10**20)})
