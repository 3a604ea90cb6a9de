"""Hyperparameters: what a user can set, with types, bounds and words, in one place.

SageMaker passes every value as text, and some of its launchers JSON-encode the text once more (`"\\"0.001\\""`), so
values are unwrapped before they are checked. A wrong name or value is refused by name before any data is read.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from recognizer.models import RECURRENT, REGISTRY

Schedule = Literal["cosine", "step", "plateau", "one_cycle", "constant"]  # see training/schedule.py


NOTHING = ("", "null", "None")  # values that mean the default: launchers write Python's None in these ways


class ConfigError(ValueError):
    """A hyperparameter that can't be used: its name, what was given and what was expected."""


def _whole_or_share(value: float) -> float:
    if value >= 1 and not float(value).is_integer():
        raise ValueError("expected a whole number of pictures, or a share of the data's below 1")
    return value


Added = Annotated[int | float, Field(ge=0), AfterValidator(_whole_or_share)]


class Hyperparameters(BaseModel):
    """What a training job can set. Sizes of the recognizer (`width`, `decoder_layers`, ...) are checked by it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recognizer: str = Field("fast", description="which recognizer to train")
    sizes: dict[str, Any] = Field(default_factory=dict, description="the recognizer's own sizes")
    _given_sizes: frozenset[str] = PrivateAttr(frozenset())
    init: str | None = Field(None, description="model to begin with: a directory, or `default`, the shipped one")
    keep_tokens: bool = Field(False, description="the vocabulary has all tokens of `init` beside the data's own")
    teacher: str | None = Field(None, description="model to learn from as well: a directory, or `default`")
    distill_weight: float = Field(1.0, gt=0, description="of the divergence from the teacher, added to the loss")

    synthetic: int | None = Field(None, ge=0, description="embedded pictures to add to the data")
    strips: int = Field(3000, ge=0, description="pictures of random symbols in a row to add to the training data")
    written: int = Field(0, ge=0, description="formulas of the data to add, written with its own pen strokes")
    rewritten: int = Field(0, ge=0, description="pictures to add: written formulas in other people's symbols")
    joined: Added = Field(
        0, description="two or three of the data's formulas side by side: pictures to add, or a share"
    )
    stacked: Added = Field(0, description="two to ten of the data's formulas below one another, likewise")
    pages: Added = Field(0, description="four to twelve lines of one to three of the data's formulas, likewise")
    turned: Added = Field(0, description="pictures of the data, laid on one side, likewise")
    symbol_steps: int = Field(1500, ge=0, description="steps in which the encoder first learns single symbols")
    short_first: bool = Field(True, description="the first epochs have short formulas alone; never after an `init`")
    stream: bool = Field(False, description="read shards from start to end, as suits FastFile mode")
    on_bad_sample: Literal["error", "skip"] = Field("error", description="stop at a bad sample, or count and list it")
    validation_share: float = Field(0.1, gt=0, lt=1, description="part of the data kept apart, in whole groups")
    max_validation: int = Field(1000, ge=1, description="samples validated after each epoch, at most")
    max_tokens: int = Field(200, ge=4, description="longest formula; longer labels are left out, and counted")
    augment: bool = Field(True, description="change training pictures at random")
    zoom: float = Field(0.0, ge=0, lt=0.5, description="share by which augmented pictures are smaller or larger")
    scale: float = Field(1.0, gt=0.1, le=2, description="size of all pictures; 0.5 halves them on every path")
    glyph_height: float = Field(16.0, ge=4, le=64, description="pixels to which characters are scaled")
    frames: bool = Field(False, description="keep frames around formulas, for labels with `\\boxed`")

    epochs: int = Field(10, ge=1, description="passes over the data")
    max_minutes: float | None = Field(None, gt=0, description="stop, with the schedule finished, after this time")
    batch_size: int = Field(8, ge=1, description="samples in a batch, at most, over all processes")
    batch_pixels: int | None = Field(
        None, ge=1_000, description="pixels in a batch, at most; by default 37,500 for each of batch_size, or 300,000"
    )
    learning_rate: float = Field(2e-3, gt=0, description="highest learning rate of AdamW")
    schedule: Schedule = Field("cosine", description="how the learning rate goes on after the warm-up")
    warmup_steps: int = Field(100, ge=0, description="steps over which the learning rate climbs")
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: float = Field(1.0, gt=0, description="largest norm of the gradient")
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    teacher_forcing: float = Field(1.0, ge=0, le=1, description="share of true tokens fed at the end; falls from 1")
    ema_decay: float = Field(0.998, ge=0, lt=1, description="average of the weights that is validated; 0 is off")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: bf16 where it is fast")
    compile: bool = Field(False, description="compile transformer layers with torch.compile; takes a compiler")
    seed: int = Field(0, ge=0, lt=2**63)
    deterministic: bool = Field(False, description="the same bits each time, on a GPU too, where it is slower")
    workers: int | None = Field(None, ge=0, description="processes that prepare pictures; by default as many as fit")
    threads: int | None = Field(None, ge=1, description="threads of the network; by default this process's cores")
    tensorboard: bool = Field(False, description="curves for TensorBoard, also written if output/tensorboard exists")
    checkpoint_minutes: float = Field(5, gt=0, description="longest time between two checkpoints")

    @property
    def most_batch_pixels(self) -> int:
        """Pixels in a batch, at most, over all processes: a batch of large pictures has fewer of them."""
        return self.batch_pixels or max(300_000, 37_500 * self.batch_size)

    @model_validator(mode="after")
    def _no_clock(self) -> Hyperparameters:
        if self.deterministic and self.max_minutes:
            raise ValueError(
                "deterministic=true with max_minutes: the learning rate and the end would follow the clock, never the "
                "same twice; set epochs instead"
            )
        return self

    @model_validator(mode="after")
    def _zoom_augments(self) -> Hyperparameters:
        if self.zoom and not self.augment:
            raise ValueError(f"zoom={self.zoom:g} with augment=false: augment makes that change; leave one of them out")
        return self

    @model_validator(mode="after")
    def _forcing_can_fall(self) -> Hyperparameters:
        if self.teacher_forcing < 1 and self.recognizer not in RECURRENT:
            raise ValueError(
                f"teacher_forcing={self.teacher_forcing}: recognizer {self.recognizer!r} sees all tokens of a label at "
                f"once and can't be fed its own; leave it at 1, or set recognizer={' or '.join(RECURRENT)}"
            )
        return self

    @classmethod
    def from_strings(cls, values: Mapping[str, str]) -> Hyperparameters:
        """Text values by name, as SageMaker gives them, JSON-quoted or not.

        Raises:
            ConfigError: an unknown name (with the nearest known one) or a wrong value.
        """
        own = set(cls.model_fields) - {"sizes"}
        recognizer = unquote(values.get("recognizer", "fast"))
        if recognizer not in REGISTRY:
            known = ", ".join(sorted(REGISTRY))
            raise ConfigError(f"hyperparameter recognizer={recognizer!r}: expected one of {known}")
        size_model = REGISTRY[recognizer][1]
        if hidden := own & size_model.model_fields.keys():
            raise ConfigError(
                f"recognizer {recognizer!r}: its size {min(hidden)!r} is the name of a hyperparameter of every job; "
                "rename it in its file in recognizer/models"
            )
        fields: dict[str, Any] = {}
        sizes: dict[str, Any] = {}
        for name, text in values.items():
            key = name.replace("-", "_")
            if key.startswith("sagemaker_") or key == "_tuning_objective_metric":
                continue
            if key not in own and key not in size_model.model_fields:
                raise ConfigError(_unknown(name, own | set(size_model.model_fields), recognizer))
            value = unquote(text)
            if value in NOTHING:
                continue
            if key in fields or key in sizes:
                raise ConfigError(f"hyperparameter {key!r} is given twice, as {name!r} too")
            (fields if key in own else sizes)[key] = value
        try:
            settings = cls(**fields, sizes=size_model.model_validate(sizes).model_dump())
            settings._given_sizes = frozenset(sizes)
            return settings
        except ValidationError as error:
            raise ConfigError(_first_problem(error)) from None

    def is_given(self, name: str) -> bool:
        """Whether a hyperparameter or size was set, be it to its default."""
        return name in self.model_fields_set or name in self._given_sizes

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump()


def unquote(text: str) -> str:
    """Takes off JSON string quoting, however often it was put on; anything else stays as it is."""
    while text.startswith('"'):
        try:
            inner = json.loads(text)
        except ValueError:
            break
        if not isinstance(inner, str):
            break
        text = inner
    return text.strip()


def parse_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """`--name value`, `--name=value` and a bare `--flag` (true) -> text by name.

    Raises:
        ConfigError: a value without a name.
    """
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        name = rest.pop(0)
        if not name.startswith("--") or len(name) == 2:
            raise ConfigError(f"argument {name!r}: expected --name value")
        if "=" in name:
            key, _, value = name[2:].partition("=")
            values[key] = value
        elif rest and not rest[0].startswith("--"):
            values[name[2:]] = rest.pop(0)
        else:
            values[name[2:]] = "true"
    return values


def _unknown(name: str, known: Iterable[str], recognizer: str) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
    return f"hyperparameter {name!r} is unknown (recognizer {recognizer!r}); {hint}"


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    if not problem["loc"]:  # of several values together; the message names them
        return f"hyperparameters: {problem['msg']}"
    name = ".".join(str(part) for part in problem["loc"])
    return f"hyperparameter {name}={problem['input']!r}: {problem['msg']}"
