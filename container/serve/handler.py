"""The handler functions of SageMaker's inference toolkits: this project's, or those that the model brings along (S13).

`code/inference.py` in the model directory may define `model_fn`, and either `input_fn`, `predict_fn` and `output_fn`
or one `transform_fn`. What it leaves out is taken from this project's inference.py. The functions are called as
AWS's toolkit calls them: a `context` is passed only to those that ask for it, the bodies of JSON and CSV are text,
and an answer is a body or a pair of body and content type.
https://github.com/aws/sagemaker-inference-toolkit (transformer.py)
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from container.serve import errors
from container.serve.batching import GivenUp
from container.serve.errors import ServeError
from container.serve.records import RECORD_MB

BUILTIN = Path(__file__).resolve().parents[2] / "code" / "inference.py"
DEFAULT_PROGRAM = "inference.py"
TEXT_TYPES = ("application/json", "text/csv")
ANY_ACCEPT = "application/json"  # what AWS's toolkit hands over for */*, so functions may know nothing else

IMPORTING = threading.Lock()  # the tables of modules are the process's, and several models may be loaded at once
OWN_CODE: set[Path] = set()  # folders of models from which functions were imported

log = logging.getLogger(__name__)


class HandlerError(Exception):
    """The model's own inference.py can't be used; the message says why."""


class Call(NamedTuple):
    """A request as the handler functions see it."""

    body: bytes
    content_type: str
    accept: str
    options: Mapping[str, str] = {}  # query parameters
    attributes: Mapping[str, str] = {}  # SageMaker's custom attributes, which may hold other things than options


class Item(NamedTuple):
    """One picture on its way through the model, which tells `emit` each token and its number if that is wanted."""

    picture: Any
    options: Any = None
    emit: Callable[[int, str], None] | None = None

    @property
    def kind(self) -> object:
        """Items with the same options go through the model together; one that is streamed goes alone."""
        return self.options, self.emit


class Reply(NamedTuple):
    body: bytes | str
    content_type: str


class PictureTypes(NamedTuple):
    """What our functions exchange: Request(pictures, form, options, is_wanted), Answer(rows, form), RequestError(
    status, code, message). A request of an older model's inference.py has no is_wanted, or no options either."""

    request: type
    answer: type
    error: type


class Handler:
    """A loaded model with the functions around it."""

    def __init__(self, custom: ModuleType | None, builtin: ModuleType, model_dir: Path) -> None:
        self.model_dir = model_dir
        context = SimpleNamespace(system_properties={"model_dir": str(model_dir), "gpu_id": None})

        def choose(name: str, count: int = 2) -> Callable[..., Any]:
            return _adapt(getattr(custom, name, None) or getattr(builtin, name), count, context)

        own = [name for name in ("input_fn", "predict_fn", "output_fn") if hasattr(custom, name)]
        transform_fn = getattr(custom, "transform_fn", None)
        if transform_fn and own:
            raise HandlerError(f"inference.py defines transform_fn and {', '.join(own)}: it must be one or the other")
        self._input_fn, self._predict_fn, self._output_fn = map(choose, ("input_fn", "predict_fn", "output_fn"))
        self._transform_fn = _adapt(transform_fn, 4, context) if transform_fn else None
        # Joined only where all three come from one file: parts of two files agree on their arguments and no more.
        whole = {0: builtin, 3: custom}.get(len(own))
        self._types = _picture_types(whole) if whole and not transform_fn else None
        self._stream_fn = getattr(whole, "stream_fn", None) if self._types else None
        self._record_types: tuple[str, ...] = getattr(whole, "RECORD_TYPES", ()) if self._types else ()
        # A model's own functions may keep state between calls, and expect one at a time as under AWS's toolkit.
        self.is_builtin = custom is None or is_builtin(Path(custom.__file__ or ""))
        self.model = choose("model_fn", 1)(str(model_dir))

    @property
    def joins_requests(self) -> bool:
        """Whether pictures of several requests may share a call: so with our functions, not with a stranger's."""
        return self._types is not None

    @property
    def can_stream(self) -> bool:
        return self._stream_fn is not None

    def takes_records(self, content_type: str) -> bool:
        """Whether each line of such a body is a record of its own, so that it can be decoded in parts."""
        return _kind(content_type) in self._record_types

    def gives_lines(self, content_type: str) -> bool:
        """Whether an answer of this type is one line after the other, so that it can be given in parts."""
        return _kind(content_type) in (*self._record_types, "text/plain")

    def decode(self, call: Call) -> Any:
        return _with_options(self._input_fn(call.body, call.content_type), call)

    def decode_records(self, call: Call, records: Sequence[bytes | None]) -> Any:
        """The request of a few lines; one left out (None) for its size has its error in its place."""
        request = self.decode(call._replace(body=b"\n".join(record for record in records if record is not None)))
        if None not in records:
            return request
        pictures, too_large = iter(request.pictures), self.error_row(errors.record_too_large(RECORD_MB))
        return dataclasses.replace(
            request, pictures=tuple(too_large if record is None else next(pictures) for record in records)
        )

    def items(self, request: Any, emit: Callable[[int, str], None] | None = None) -> list[Item]:
        return [Item(picture, getattr(request, "options", None), emit) for picture in request.pictures]

    def predict_items(
        self, items: Sequence[Item], is_wanted: Callable[[int], bool] = lambda place: True
    ) -> Sequence[Any]:
        """One row of the answer for each item. All are of one kind, and go through the model together.

        Args:
            is_wanted: whether anyone waits for the item in that place; it is given up if nobody does.
        """
        assert self._types
        given_up: set[int] = set()

        def still_wanted(place: int) -> bool:
            if not is_wanted(place):
                given_up.add(place)
            return place not in given_up

        _, options, emit = items[0]
        given = {
            "pictures": tuple(item.picture for item in items),
            "form": "many",
            "options": options,
            "is_wanted": still_wanted,
        }
        known = _parameters(self._types.request)
        request = self._types.request(**{name: given[name] for name in known if given[name] is not None})
        if emit and self._stream_fn:
            rows: Sequence[Any] = [self._stream(request, emit, still_wanted)]
        else:
            rows = self._predict_fn(request, self.model).rows
        return [GivenUp(errors.client_gone()) if place in given_up else row for place, row in enumerate(rows)]

    def _stream(self, request: Any, emit: Callable[[int, str], None], is_wanted: Callable[[int], bool]) -> Any:
        """The row of a request's only picture, whose tokens are told as they are decided; None if it is given up."""
        assert self._stream_fn
        row = None
        for number, token in enumerate(self._stream_fn(request, self.model)):
            if not isinstance(token, str):
                row = token
            elif is_wanted(0):
                emit(number, token)
            else:
                break
        return row

    def error_row(self, error: ServeError) -> Any:
        """The error in the place of a row, as `encode` takes it."""
        assert self._types
        return self._types.error(error.status, error.code, error.message)

    def encode(self, request: Any, rows: Sequence[Any], accept: str) -> Reply:
        assert self._types
        return _reply(self._output_fn(self._types.answer(tuple(rows), request.form), accept), accept)

    def encode_no_rows(self, accept: str) -> Reply:
        """What an answer in lines begins with: the head of a table, or nothing."""
        assert self._types
        return _reply(self._output_fn(self._types.answer((), "lines"), accept), accept)

    def transform(self, call: Call) -> Reply:
        """The whole way for one request, for functions that nothing is known about."""
        body: bytes | str = call.body
        if _kind(call.content_type) in TEXT_TYPES:
            try:
                body = call.body.decode()
            except UnicodeDecodeError as error:
                raise ServeError(400, "invalid_text", f"the body is not UTF-8: {error}") from None
        accept = ANY_ACCEPT if call.accept == "*/*" else call.accept
        if self._transform_fn:
            return _reply(self._transform_fn(self.model, body, call.content_type, accept), accept)
        request = _with_options(self._input_fn(body, call.content_type), call)
        prediction = self._predict_fn(request, self.model)
        return _reply(self._output_fn(prediction, accept), accept)


def own_program(model_dir: Path, program: str = DEFAULT_PROGRAM, submitted: str = "") -> Path | None:
    """The file with functions that the model brings along: `code/<program>` or `code/inference.py`.

    Args:
        submitted: folder that SAGEMAKER_SUBMIT_DIRECTORY names; a `<program>` there comes before the model's. It is the
            model's own `code` where the SDK has packed it into the model.

    Raises:
        HandlerError: it is an archive on S3, which isn't fetched, and the model has no `code/<program>`.
    """
    code = model_dir / "code"
    if submitted.startswith("s3://") and not (code / program).is_file():
        raise HandlerError(
            f"SAGEMAKER_SUBMIT_DIRECTORY={submitted}: nothing is downloaded at start, and the model has no "
            f"code/{program}; give the Model a source_dir too, and the SDK packs it into the model"
        )
    places = [Path(submitted) / program] if submitted else []
    return next((path for path in (*places, code / program, code / DEFAULT_PROGRAM) if path.is_file()), None)


def is_builtin(path: Path) -> bool:
    """Whether a model's file with functions is a copy of this project's, as exported models have."""
    return path.read_bytes() == BUILTIN.read_bytes()


def load_handler(
    model_dir: Path, program: str = DEFAULT_PROGRAM, runs_own_code: bool = True, submitted: str = ""
) -> Handler:
    """Imports the functions and loads the model, which may take long.

    Args:
        model_dir: folder that may hold `code/<program>` or `code/inference.py`.
        program: file name that SAGEMAKER_PROGRAM gives.
        runs_own_code: whether the model's own functions are imported; else those of this project read it.
        submitted: see `own_program`.

    Raises:
        HandlerError: the model's inference.py can't be imported, or defines functions that exclude each other.
        Exception: whatever its model_fn raises.
    """
    path = own_program(model_dir, program, submitted) if runs_own_code else None
    if runs_own_code and program != DEFAULT_PROGRAM and (path is None or path.name != program):
        log.warning("SAGEMAKER_PROGRAM=%s: the model has no code/%s", program, program)  # it may be the trainer's
    with IMPORTING:
        custom = _import_custom(path) if path else None
        builtin = _builtin()
    log.info("handler functions: %s", path or "built in")
    return Handler(custom, builtin, model_dir)


def forget_code(model_dir: Path) -> None:
    """Takes back what an import of the model's code has left: its folder in Python's path, its neighbours' modules."""
    code = model_dir / "code"
    with IMPORTING:
        OWN_CODE.discard(code)
        while str(code) in sys.path:
            sys.path.remove(str(code))
        for name, module in list(sys.modules.items()):
            if _lies_in(module, code):
                del sys.modules[name]


def builtin() -> ModuleType:
    """This project's inference.py. Not before the fork: CUDA, which it may load, can't be used across one."""
    with IMPORTING:
        return _builtin()


@cache
def _builtin() -> ModuleType:
    return _import(BUILTIN, "inference")


def _import_custom(path: Path) -> ModuleType:
    _refuse_taken_names(path.parent)
    OWN_CODE.add(path.parent)
    sys.path.append(str(path.parent))  # at the end: its neighbours can be imported, but replace nothing of ours
    try:
        return _import(path, "model_inference")
    except ModuleNotFoundError as error:
        raise HandlerError(
            f"{path} imports {error.name!r}, which this image lacks. Nothing is installed at start: put the module "
            "into code/ beside inference.py, or build an image with it"
        ) from error


def _import(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _refuse_taken_names(code: Path) -> None:
    """Python has one module of a name: a second model would get the first one's, and nobody would notice."""
    for path in code.iterdir():
        module = sys.modules.get(path.stem)
        if any(_lies_in(module, other) for other in OWN_CODE - {code}):
            raise HandlerError(f"{path}: another loaded model has a module {path.stem!r} too; give it another name")


def _lies_in(module: object, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and folder in Path(file).parents


def _picture_types(module: ModuleType) -> PictureTypes | None:
    """The types that our functions exchange, if `module` has them."""
    types = [getattr(module, name, None) for name in ("Request", "Answer", "RequestError")]
    found = list(map(_parameters, types))
    wanted = [["pictures", "form"], ["rows", "form"], ["status", "code", "message"]]
    if found[0][2:] in (["options"], ["options", "is_wanted"]):
        del found[0][2:]
    return PictureTypes(*types) if found == wanted else None  # type: ignore[arg-type]


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _with_options(request: Any, call: Call) -> Any:
    """The request with the options that came beside its body, where the functions know options.

    Custom attributes that are no options are somebody else's.
    """
    if not hasattr(request, "with_options"):
        return request
    known = {field.name for field in dataclasses.fields(request.options)}
    attributes = {name: text for name, text in call.attributes.items() if name in known}
    return request.with_options({**attributes, **call.options})


def _parameters(kind: object) -> list[str]:
    return list(inspect.signature(kind).parameters) if isinstance(kind, type) else []


def _adapt(function: Callable[..., Any], count: int, context: object) -> Callable[..., Any]:
    """The function as one of `count` arguments; one that requires another gets the context.

    Raises:
        HandlerError: it takes neither number of arguments.
    """
    signature = inspect.signature(function)
    for extra in ((), (context,)):
        try:
            signature.bind(*range(count), *extra)
        except TypeError:
            continue
        return lambda *arguments: function(*arguments, *extra)
    raise HandlerError(f"{function.__name__}{signature} must take {count} arguments, or {count + 1} with a context")


def _reply(result: Any, accept: str) -> Reply:
    if isinstance(result, tuple):
        return Reply(*result)
    return Reply(result, accept)
