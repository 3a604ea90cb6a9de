"""compile=true trains to the same weights; a job that can't compile says so before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recognizer.models import build
from recognizer.training.compiled import CompileError, compile_layers
from recognizer.training.diagnose import find_culprit
from recognizer.training.stop import StopSignal
from tests.support.tiny_recognizer import SMALL
from tests.support.tiny_training import settings, trainer, weights
from tests.unit.training.test_resume import folder  # noqa: F401 (a fixture)

CPU = torch.device("cpu")


def test_compiled_layers_learn_what_plain_ones_learn(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    torch._dynamo.reset()
    sizes = {**SMALL["fast"], "dropout": 0.0}  # compiled, dropout draws its own numbers
    plain = trainer(settings(sizes=sizes, epochs=1), folder, tmp_path / "plain")
    compiled = trainer(settings(sizes=sizes, epochs=1, compile=True), folder, tmp_path / "compiled")
    for made in (plain, compiled):
        assert made.run(StopSignal())
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["calls_captured"] > 0
    torch.testing.assert_close(weights(compiled), weights(plain), atol=1e-4, rtol=0)
    model = compiled.model
    with torch.no_grad():
        model.decoder.layers[0].mlp[0].weight[0, 0] = torch.nan
    batch = next(iter(compiled.training.epoch(0)))
    found = find_culprit(model, lambda: model(batch.images, batch.sizes, batch.tokens), len(batch))
    assert found and found.module == "decoder.layers.0.mlp.0 (Linear)", "the hooks inside a compiled layer still work"


def test_without_a_compiler_or_a_layer_the_job_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CompileError, match="AttentionRecognizer has no layers to compile"):
        compile_layers(build("attention", 24, 20, SMALL["attention"]), CPU)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompileError, match=r"no-such-compiler is missing.*Debian: g\+\+"):
        compile_layers(build("fast", 24, 20, SMALL["fast"]), CPU)
