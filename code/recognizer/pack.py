"""Command line: a model directory of half the size: `python -m recognizer.pack MODEL OUT`.

Weights are stored in 16 bits and widened when the model is loaded, so it computes in 32 bits as before and is as
fast. What rounding changes is checked: the golden samples must still reproduce. Of networks in 8 bits what
is still in 32 is rounded, convolutions above all, but for their scales; unless that changes a golden answer.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file

import inference
from recognizer.export import strip_traces
from recognizer.model_dir import WEIGHTS, refuse_existing, save_weights

LEFT_OUT = ("code", "split.json")  # the images have inference.py; nobody trains on with this split
SMALLEST = 256  # numbers: smaller tensors (norms, constants of shapes) stay as they are


def pack(source: Path, target: Path) -> None:
    """Writes the smaller copy and tries it.

    Raises:
        FileExistsError: target is there already.
        inference.ModelError: source is no model directory, or rounding its weights changes a golden answer.
    """
    inference.Recognizer.load(source)
    precisions = [name for name, files in inference.NETWORKS.items() if (source / files[0]).is_file()]
    refuse_existing(target)
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for precision in precisions:
            for name in inference.NETWORKS[precision]:
                network = onnx.load(str(source / name))
                strip_traces(network)  # older exports have them
                _halve(network.graph, least_rank=2 if precision == "int8" else 1)
                onnx.save(network, str(target / name))
        weights = load_file(source / WEIGHTS)
        save_weights({name: weight.half() for name, weight in weights.items()}, target / WEIGHTS)
        _check(source, target, precisions)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _check(source: Path, target: Path, precisions: Sequence[str]) -> None:
    """Reads the golden samples. Networks in 8 bits that read one otherwise are taken as they were: what comes to their
    matrix products is rounded coarsely, which a small change before it may turn into a large one."""
    inference.Recognizer.load(target).check_golden()
    if "int8" in precisions:
        try:
            inference.Recognizer.load(target, precision="int8").check_golden()
        except inference.ModelError:
            for name in inference.NETWORKS["int8"]:
                shutil.copyfile(source / name, target / name)
            inference.Recognizer.load(target, precision="int8").check_golden()


def _halve(graph: onnx.GraphProto, least_rank: int) -> None:
    """Replaces each large float32 constant by a float16 one and a cast, which the runtime folds when it loads.

    Args:
        least_rank: dimensions of those that are replaced. Beside weights in 8 bits vectors are their scales, of which
            a rounding changes all that they scale.
    """
    casts = []
    for tensor in graph.initializer:
        is_large = np.prod(tensor.dims) >= SMALLEST and len(tensor.dims) >= least_rank
        if tensor.data_type != TensorProto.FLOAT or not is_large:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.pack", description=__doc__)
    parser.add_argument("model", type=Path, help="model directory")
    parser.add_argument("out", type=Path, help="folder to write; must not be there yet")
    options = parser.parse_args(arguments)
    try:
        pack(options.model, options.out)
    except (OSError, SafetensorError, inference.ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.out}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
