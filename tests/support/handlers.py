"""Changes to a model's own code/inference.py, as users make them."""

from __future__ import annotations

from pathlib import Path


def add_to_handler(base_dir: Path, source: str) -> Path:
    """Appends to the model's code/inference.py, so that what is defined there can be called and replaced."""
    path = base_dir / "model" / "code" / "inference.py"
    path.write_text(path.read_text() + source)
    return base_dir


SLOW = """
import time

_quick_predict_fn = predict_fn


def predict_fn(request, model, context=None):
    time.sleep({seconds})
    return _quick_predict_fn(request, model)
"""


def slow_down(base_dir: Path, seconds: float) -> Path:
    """Makes each call of the model last longer; it stays our handler, so requests are joined."""
    return add_to_handler(base_dir, SLOW.format(seconds=seconds))


SLOW_LOAD = """
import time

_quick_model_fn = model_fn


def model_fn(model_dir, context=None):
    time.sleep({seconds})
    return _quick_model_fn(model_dir)
"""


def slow_down_loading(base_dir: Path, seconds: float) -> Path:
    """Makes a process take longer to load the model, so that a test can see it while it does."""
    return add_to_handler(base_dir, SLOW_LOAD.format(seconds=seconds))


BURN = """
_idle_predict_fn = predict_fn


def predict_fn(request, model, context=None):
    import time
    until = time.thread_time() + {seconds}
    while time.thread_time() < until:
        pass
    return _idle_predict_fn(request, model)
"""


def burn(base_dir: Path, seconds: float) -> Path:
    """Makes each call of the model compute for so long in Python, whose lock it hardly leaves."""
    return add_to_handler(base_dir, BURN.format(seconds=seconds))


COUNT = """
_quiet_predict_fn = predict_fn


def predict_fn(request, model, context=None):
    import time
    print("pictures:", len(request.pictures), file=sys.stderr, flush=True)
    time.sleep({seconds})
    return _quiet_predict_fn(request, model)
"""


def count_pictures(base_dir: Path, seconds: float) -> Path:
    """Makes each call of the model say how many pictures it has, and last longer."""
    return add_to_handler(base_dir, COUNT.format(seconds=seconds))


ENDLESS = """
import time

_advance, _ending_predict_fn = BeamSearch.advance, predict_fn


def _slow_advance(self):
    self._eos = -1
    print("step", len(self.alive[0].ids) + 1, "of", len(self.alive), file=sys.stderr, flush=True)
    time.sleep({seconds})
    _advance(self)


def predict_fn(request, model, context=None):
    BeamSearch.advance = _slow_advance  # not before: the golden samples find their ends
    return _ending_predict_fn(request, model)
"""


def read_for_ever(base_dir: Path, seconds: float) -> Path:
    """Makes the model find no end of any formula, take its time for each token, and say which one it is at."""
    return add_to_handler(base_dir, ENDLESS.format(seconds=seconds))


SLOW_STREAM = """
import time

_quick_stream_fn = stream_fn


def stream_fn(request, model):
    for number, token in enumerate(_quick_stream_fn(request, model)):
        yield token
        {then}
"""


def change_stream(base_dir: Path, then: str) -> Path:
    """Makes the model do something after each token of a stream; it knows the `number` of the token."""
    return add_to_handler(base_dir, SLOW_STREAM.format(then=then))


NARROW = 150  # pixels
FAIL_FOR_NARROW = f"""
_predict_fn = predict_fn


def predict_fn(request, model, context=None):
    if any(picture.shape[1] < {NARROW} for picture in request.pictures):
        raise ZeroDivisionError("too narrow")
    return _predict_fn(request, model)
"""


def fail_for_narrow(base_dir: Path) -> Path:
    """Makes the model fail for pictures of less than NARROW pixels."""
    return add_to_handler(base_dir, FAIL_FOR_NARROW)


HOLD_BACK = """
_free_predict_fn = predict_fn


def predict_fn(request, model, context=None):
    import time
    while not Path({path!r}).exists():
        time.sleep(0.02)
    return _free_predict_fn(request, model)
"""


def hold_back(base_dir: Path) -> Path:
    """Makes each call of the model wait until a file exists, whose path is returned."""
    go = base_dir / "go"
    add_to_handler(base_dir, HOLD_BACK.format(path=str(go)))
    return go


def replace_handler(base_dir: Path, source: str) -> Path:
    (base_dir / "model" / "code" / "inference.py").write_text(source)
    return base_dir
