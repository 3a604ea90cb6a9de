"""The models of a multi-model endpoint (S11): loaded and unloaded while others answer, within a limit of memory.

A model that is unloaded leaves the list at once, answers what it has accepted, and only then gives its memory back.
https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

import ctypes
import errno
import gc
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from container.resources import memory_limit
from container.serve import errors
from container.serve.errors import ServeError
from container.serve.handler import builtin, forget_code, is_builtin, own_program
from container.serve.metrics import Metrics
from container.serve.model_check import UnsafeModelError, check, check_arrays, members_of_folder, open_archive
from container.serve.model_location import ModelNotFoundError, find_model
from container.serve.readiness import LoadedModels
from container.serve.service import Service, Shared
from container.serve.settings import Settings

# Measured with ONNX Runtime 1.32 on a CPU, after batches of 8 pictures of 61 x 113 pixels: the shipped model (6 MB of
# networks in fp32 or int8) takes 25 MB, and 45 where two cores make two calls at a time; 80 MB of matrices take 100,
# and 110 while they are loaded.
MODEL_MB = 48  # for each model: buffers of its largest batches so far, golden samples, threads
NETWORK_FACTOR = 2  # times the bytes of its networks of one precision; above what was measured, as layers differ
MODELS_SHARE = 0.7  # of the container's memory; the rest is for the server itself and for the pictures of requests
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
MB = 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Model:
    """A place in the list. `service` comes when the model is loaded; only then is it shown and asked."""

    name: str
    url: str
    memory: int = 0  # bytes, estimated; counted from before the load until after the last answer
    service: Service | None = None
    inside: int = 0  # requests that it has accepted and not yet answered
    folder: ExitStack = field(default_factory=ExitStack)  # what was unpacked for it

    def to_dict(self) -> dict[str, str]:
        return {"modelName": self.name, "modelUrl": self.url}


class MultiModel:
    """What this process serves, by name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        mb = settings.models_memory_mb
        self._budget = mb * MB if mb else int(MODELS_SHARE * memory_limit())
        self._models: dict[str, Model] = {}  # the least recently used first
        self._leaving: set[Model] = set()  # unloaded, and still answering
        self._changed = threading.Condition()  # guards the two above and what is in them
        self._outlasting = LoadedModels()  # tells the process that takes this one's place
        self._lost = 0  # models that went with a process before this one

    def start(self, metrics: Metrics) -> None:
        self._metrics, self._shared = metrics, Shared(self._settings, metrics)
        self._lost = self._outlasting.get()
        if self._lost:
            log.critical(errors.models_lost(self._lost).message)
        if (self._settings.workers or 1) > 1:
            log.warning(
                "SAGEMAKER_MODEL_SERVER_WORKERS=%d isn't followed: with SAGEMAKER_MULTI_MODEL one process serves, as a "
                "model that is loaded in one would be missing in the others",
                self._settings.workers,
            )
        log.info("ready for models", extra={"fields": {"models_memory_mb": self._budget // MB}})

    def ping_problem(self) -> ServeError | None:
        """Why the container should be started anew, or None; it is well without any model, unless some were lost."""
        problem = next(filter(None, (service.problem() for service in self._services())), None)
        error = errors.not_ready(problem) if problem else errors.models_lost(self._lost) if self._lost else None
        self._metrics.model_ready.set(error is None)
        return error

    def can_answer(self) -> bool:
        """It is the only process: there is none that connections could be left to."""
        return True

    def needs_new_process(self) -> bool:
        """Never: it would come without the models that SageMaker takes for loaded."""
        return False

    def is_loading(self) -> bool:
        """No: a load is a request, which a stop lets come to its end."""
        return False

    def stop(self, seconds: float) -> None:
        """As Service.stop, for all models."""
        for service in self._services():
            service.stop(seconds)

    @contextmanager
    def admit(self, name: str) -> Iterator[Service]:
        """For a request at the model, which stays loaded until it is answered.

        Raises:
            ServeError: 404 `model_not_loaded`, 503 `not_ready` or `overloaded`.
        """
        with self._changed:
            model = self._loaded(name)
            assert model.service
            model.inside += 1
            self._models[name] = self._models.pop(name)
        try:
            with model.service.admit() as service:
                yield service
        finally:
            with self._changed:
                model.inside -= 1
                self._changed.notify_all()

    def get(self, name: str) -> dict[str, str]:
        """Raises: ServeError: 404 `model_not_loaded`."""
        with self._changed:
            return self._loaded(name).to_dict()

    def page(self, limit: int, after: str = "") -> tuple[list[dict[str, str]], str | None]:
        """Up to `limit` loaded models in the order of their names, and the last name if there are more.

        A page begins behind a name, not at a number: models that come and go meanwhile shift nothing.
        """
        with self._changed:
            names = sorted(name for name, model in self._models.items() if model.service and name > after)
            shown = [self._models[name].to_dict() for name in names[:limit]]
        return shown, names[limit - 1] if len(names) > limit else None

    def load(self, name: str, url: str) -> dict[str, str]:
        """Checks the model and loads it; it is in the list when this returns.

        Raises:
            ServeError: 409 `model_already_loaded` (or being loaded), 404 `model_not_found`, 400 `invalid_url`,
                `unsafe_model`, `own_code_refused`, `unusable_model`, 507 `insufficient_memory`, 503 `overloaded`.
        """
        code = "ok"
        try:
            with self._shared.slot(), self._place(Model(name, url)) as model:
                self._load(model)
        except ServeError as error:
            code = error.code
            raise
        finally:
            self._metrics.model_loads.labels(code).inc()
            self._count()
        return model.to_dict()

    def unload(self, name: str) -> dict[str, str]:
        """Takes the model out of the list; returns when all it had accepted is answered and its memory is free.

        Raises:
            ServeError: 404 `model_not_loaded`.
        """
        with self._changed:
            model = self._loaded(name)
            self._take_out(model)
        self._free(model, "asked")
        return model.to_dict()

    @contextmanager
    def _place(self, model: Model) -> Iterator[Model]:
        """Keeps the model's name for it while it is loaded, and gives it up again if that fails."""
        with self._changed:
            if model.name in self._models:
                raise ServeError(409, "model_already_loaded", f"{model.name!r} is loaded or being loaded already")
            self._models[model.name] = model
        try:
            yield model
        except BaseException:
            model.folder.close()
            with self._changed:
                del self._models[model.name]
            raise

    def _load(self, model: Model) -> None:
        service = Service(self._shared)
        try:
            folder = self._checked_folder(model)
            runs_own_code = self._runs_own_code(folder)
            try:
                service.load(lambda: folder, runs_own_code)
            except BaseException:
                forget_code(folder)
                raise
        except ServeError:
            raise
        except ModelNotFoundError as error:
            raise ServeError(404, "model_not_found", str(error)) from error
        except UnsafeModelError as error:
            raise ServeError(400, "unsafe_model", f"{model.url}: {error}") from error
        except (Exception, SystemExit) as error:
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in NO_ROOM:
                raise ServeError(507, "insufficient_memory", f"{model.url}: {error or 'out of memory'}") from error
            log.warning("a model can't be served", exc_info=True)
            raise ServeError(400, "unusable_model", f"{model.url}: {error}") from error
        with self._changed:
            model.service = service

    def _checked_folder(self, model: Model) -> Path:
        """The folder with model.json; there is room in memory for the model in it."""
        path = self._path(model.url)
        any_type = self._settings.models_code == "run"
        if path.is_dir():
            sizes = check(members_of_folder(path), any_type)
            self._make_room(model, sizes)
        elif not path.is_file():
            raise ServeError(400, "invalid_url", f"{model.url} is neither a folder nor a file")
        else:
            with open_archive(path) as archive:
                sizes = check(archive.members(), any_type)
                self._make_room(model, sizes)
                path = Path(model.folder.enter_context(tempfile.TemporaryDirectory(prefix="model-")))
                archive.unpack(path)
        check_arrays(path)
        return find_model(path)

    def _path(self, url: str) -> Path:
        """The url as a path, below SAGEMAKER_BASE_DIR: who may load models shall not look around elsewhere."""
        base = self._settings.base_dir.resolve()
        try:
            path = Path(url).resolve()
            exists = path.exists()
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, a circle of links
            raise ServeError(400, "invalid_url", f"{url!r} is no path: {error}") from None
        if not Path(url).is_absolute() or not path.is_relative_to(base):
            raise ServeError(
                400, "invalid_url", f"{url!r}: an absolute path below {base} was expected, and no link out of it"
            )
        if not exists:
            raise ServeError(404, "model_not_found", f"{url} does not exist")
        return path

    def _runs_own_code(self, folder: Path) -> bool:
        """Whether the model's own functions are to be run. Code of strangers shares this process with other models."""
        path = own_program(folder, self._settings.program)
        if path is None or is_builtin(path):
            return False
        if self._settings.models_code == "refuse":
            raise ServeError(
                400,
                "own_code_refused",
                f"{path.relative_to(folder)} isn't this image's. SERVE_MODELS_CODE=ignore reads the model with the "
                "image's own (golden samples tell if that is right), SERVE_MODELS_CODE=run runs the model's; or leave "
                "it out of the model",
            )
        return self._settings.models_code == "run"

    def _make_room(self, model: Model, sizes: dict[str, int]) -> None:
        """Counts the model's memory, if need be (and allowed) in the place of idle models, which are unloaded.

        Raises:
            ServeError: 507 `insufficient_memory`; nothing was unloaded.
        """
        counts_all = self._settings.models_code == "run"  # its code reads what it likes
        loaded = builtin().NETWORKS[self._settings.precision]  # in the folder, or in those of an ensemble's members
        need = MODEL_MB * MB + NETWORK_FACTOR * sum(
            size for name, size in sizes.items() if counts_all or PurePosixPath(name).name in loaded
        )
        with self._changed:
            free = self._budget - sum(each.memory for each in (*self._models.values(), *self._leaving))
            victims = []
            idle = [each for each in self._models.values() if each.service and not each.inside]
            while free < need and idle and self._settings.evicts_models:
                victims.append(idle.pop(0))
                free += victims[-1].memory
            if free < need:
                raise ServeError(
                    507,
                    "insufficient_memory",
                    f"the model needs about {need // MB} MB, and {max(0, free) // MB} of the {self._budget // MB} MB "
                    "for models are free. Unload one, or raise SERVE_MODELS_MEMORY_MB or the container's memory",
                )
            model.memory = need
            for victim in victims:
                self._take_out(victim)
        for victim in victims:
            self._free(victim, "evicted")

    def _services(self) -> list[Service]:
        """Of all that can still answer."""
        with self._changed:
            return [model.service for model in (*self._models.values(), *self._leaving) if model.service]

    def _loaded(self, name: str) -> Model:
        model = self._models.get(name)
        if model is None or model.service is None:
            raise ServeError(404, "model_not_loaded", f"{name!r} is not loaded; POST /models loads it")
        return model

    def _take_out(self, model: Model) -> None:
        del self._models[model.name]
        self._leaving.add(model)

    def _free(self, model: Model, why: str) -> None:
        """Waits for the last answers of a model that was taken out; after the deadline, what is left gets 503."""
        assert model.service
        seconds = self._settings.request_timeout
        with self._changed:
            is_idle = self._changed.wait_for(lambda: not model.inside, seconds)
        if not is_idle:
            model.service.abandon(errors.unloaded())
        self._metrics.model_unloads.labels(why).inc()
        if not self._release(model, seconds):  # it stays counted until then, and /ping tells
            log.error("%s is unloaded, but still at work on a batch", model.name)
            threading.Thread(target=self._release, args=[model], name="release", daemon=True).start()
        fields = {"model_name": model.name, "why": why, "memory_mb": model.memory // MB}
        log.info("unloaded", extra={"fields": fields})

    def _release(self, model: Model, seconds: float | None = None) -> bool:
        """Frees the memory of a model that nobody asks any more, if its last batch ends within `seconds`."""
        assert model.service
        if not model.service.close(seconds):
            return False
        model.folder.close()
        with self._changed:
            self._leaving.discard(model)
            model.service = None
        _return_memory()
        self._count()
        return True

    def _count(self) -> None:
        with self._changed:
            loaded = sum(bool(model.service) for model in self._models.values())
            self._metrics.models_loaded.set(loaded)
            self._outlasting.set(self._lost + loaded)
            memory = sum(model.memory for model in (*self._models.values(), *self._leaving))
        self._metrics.models_memory.set(memory)


def _return_memory() -> None:
    """Gives freed memory back to the system: glibc would keep it (110 MB after four models)."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another libc
        ctypes.CDLL(None).malloc_trim(0)
