"""A real model directory that is built in a second and follows the decoder contract, for tests of the serving side.

The networks are arithmetic on the ink: the encoder counts ink columns and ink pixels, the decoder's next token
depends on those counts, on the number of steps so far and on the tokens before. Counts are whole numbers, so the
answers are exact whatever the batch, and every part of the contract changes them: the picture, the state of earlier
steps, the rows that leave a batch.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import inference

CODE = Path(inference.__file__)
TOKENS = ["<pad>", "<bos>", "<eos>", "x", "y", "1", "2", "+", "=", "a", "\\alpha", "\\frac"]
PAD, BOS, EOS, VISIBLE = 0, 1, 2, 3
SPEC = inference.PreprocessSpec()
Constants = dict[str, np.ndarray | np.generic]


def build_tiny_model(folder: Path) -> Path:
    """Writes model.json, the two networks, golden samples and code/ into the folder, as an export does."""
    (folder / "golden").mkdir(parents=True)
    (folder / "code").mkdir()
    shutil.copy(CODE, folder / "code" / "inference.py")
    vocabulary = {"tokens": TOKENS, "pad": PAD, "bos": BOS, "eos": EOS}
    description = {
        "format_version": inference.FORMAT_VERSION,
        "version": "tiny-1",
        "recognizer": "tiny",
        "preprocess": dataclasses.asdict(SPEC),
        "vocabulary": vocabulary,
        "limits": {"max_tokens": 20},
        "provenance": {},
        "metrics": {},
    }
    (folder / "model.json").write_text(json.dumps(description))
    onnx.save(_encoder(), folder / "encoder.onnx")
    onnx.save(_decoder(), folder / "decoder.onnx")
    _write_golden(folder)
    return folder


def formula_picture(seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 RGB: blue and red writing on yellowish paper, so that every colour channel matters."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(120, 260))
    rgb = np.full((64, width, 3), (250, 240, 190), dtype=np.uint8)
    for left, colour in zip(range(8, width - 30, 28), [(20, 30, 190), (200, 40, 30)] * 5, strict=False):
        text = "xy12+=a"[int(rng.integers(0, 7))]
        cv2.putText(rgb, text, (left, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.0, colour, 2, cv2.LINE_AA)
    return rgb


def png(rgb: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()


def _write_golden(folder: Path) -> None:
    model = inference.Recognizer.load(folder, threads=1)
    expected, inputs = [], {}
    for number in range(3):
        name, data = f"{number:02d}.png", png(formula_picture(100 + number))
        (folder / "golden" / name).write_bytes(data)
        inputs[name] = model.prepare(inference.read_image(data))
        answer = model.recognize([inputs[name]])[0]
        expected.append({"file": name, "latex": answer.latex, "confidence": answer.confidence})
    (folder / "golden" / "golden.json").write_text(json.dumps(expected))
    np.savez(folder / "golden" / "inputs.npz", **inputs)


def _encoder() -> onnx.ModelProto:
    """images (B, 1, H, W), sizes (B, 2) -> counts (B, 2) = ink columns and ink pixels; prefix (1, B, 1) = 0."""
    half_ink = (0.5 - SPEC.mean) / SPEC.std
    nodes = [
        helper.make_node("Greater", ["images", "half_ink"], ["is_ink"]),
        helper.make_node("Cast", ["is_ink"], ["ink"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ink", "all_but_batch"], ["pixels"], keepdims=0),
        helper.make_node("ReduceMax", ["ink", "image_rows"], ["columns_used"], keepdims=0),
        helper.make_node("ReduceSum", ["columns_used", "last"], ["columns"], keepdims=0),
        helper.make_node("Unsqueeze", ["columns", "last"], ["columns_2d"]),
        helper.make_node("Unsqueeze", ["pixels", "last"], ["pixels_2d"]),
        helper.make_node("Concat", ["columns_2d", "pixels_2d"], ["counts"], axis=1),
        helper.make_node("Mul", ["columns_2d", "zero"], ["zeros"]),
        helper.make_node("Unsqueeze", ["zeros", "first"], ["prefix"]),
    ]
    constants: Constants = {
        "half_ink": np.float32(half_ink),
        "all_but_batch": np.array([1, 2, 3]),
        "image_rows": np.array([1, 2]),
        "last": np.array([1]),
        "first": np.array([0]),
        "zero": np.float32(0),
    }
    inputs = [_tensor("images", "B", 1, "H", "W"), _tensor("sizes", "B", 2, kind=TensorProto.INT64)]
    return _model(nodes, constants, inputs, [_tensor("counts", "B", 2), _tensor("prefix", 1, "B", 1)])


def _decoder() -> onnx.ModelProto:
    """tokens (B,), past (T, B, 1), counts (B, 2) -> logits (B, V), present (B, 1).

    The likeliest token is VISIBLE + (columns + T * pixels + sum of past) mod the visible ones, or the end once
    T exceeds 3 + columns mod 5.
    """
    nodes = [
        helper.make_node("Cast", ["tokens"], ["token"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["token", "last"], ["present"]),
        helper.make_node("Shape", ["past"], ["past_shape"]),
        helper.make_node("Gather", ["past_shape", "index_0"], ["steps_int"]),
        helper.make_node("Cast", ["steps_int"], ["steps"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["past", "axis_0"], ["history"], keepdims=0),  # (B, 1)
        helper.make_node("Split", ["counts"], ["columns", "pixels"], axis=1, num_outputs=2),  # (B, 1) each
        helper.make_node("Mul", ["pixels", "steps"], ["stepped"]),
        helper.make_node("Add", ["columns", "stepped"], ["seen"]),
        helper.make_node("Add", ["seen", "history"], ["mixed"]),
        helper.make_node("Mod", ["mixed", "visible"], ["offset"], fmod=1),
        helper.make_node("Add", ["offset", "first_visible"], ["next"]),
        helper.make_node("Mod", ["columns", "five"], ["extra"], fmod=1),
        helper.make_node("Add", ["extra", "three"], ["length"]),
        helper.make_node("Greater", ["steps", "length"], ["is_over"]),
        helper.make_node("Where", ["is_over", "eos", "next"], ["likeliest"]),
        helper.make_node("Sub", ["ids", "likeliest"], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("Mul", ["squared", "minus_two"], ["logits"]),
    ]
    constants: Constants = {
        "last": np.array([1]),
        "axis_0": np.array([0]),
        "index_0": np.int64(0),
        "visible": np.float32(len(TOKENS) - VISIBLE),
        "first_visible": np.float32(VISIBLE),
        "five": np.float32(5),
        "three": np.float32(3),
        "eos": np.float32(EOS),
        "ids": np.arange(len(TOKENS), dtype=np.float32)[None],
        "minus_two": np.float32(-2),
    }
    inputs = [_tensor("tokens", "B", kind=TensorProto.INT64), _tensor("past", "T", "B", 1), _tensor("counts", "B", 2)]
    return _model(nodes, constants, inputs, [_tensor("logits", "B", len(TOKENS)), _tensor("present", "B", 1)])


def _tensor(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def _model(
    nodes: list[onnx.NodeProto],
    constants: Constants,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model
