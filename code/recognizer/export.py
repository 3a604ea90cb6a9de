"""Trained recognizer -> model directory: the contract between training and serving.

    model.json           preprocessing, vocabulary, limits, calibration, provenance, metrics, format version
    encoder.onnx         images, sizes -> memory and the decoder's first state
    decoder.onnx         one step: tokens, past, memory -> logits, present
    *.int8.onnx          the same two with matrix products in 8 bits
    weights.safetensors  the same weights for training on
    golden/              pictures with the expected answers, checked whenever the model is loaded
    code/                inference.py and its requirements

An export is verified before it counts: ONNX must equal torch, and the golden samples must reproduce.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from torch import Tensor, nn
from torch.export import Dim

import inference
from recognizer.disk import LARGER_VOLUME, NoRoomError, check_room, write_whole
from recognizer.latex import Vocabulary
from recognizer.model_dir import DESCRIPTION, WEIGHTS, save_weights
from recognizer.models import FormulaRecognizer

TOLERANCE = 1e-3  # largest difference of a logit between torch and ONNX; typical are 1e-5
REQUIREMENTS = ("numpy", "onnxruntime", "opencv-python-headless", "pillow")
# Of the weights, that an export writes at most: their own, the networks, those in 8 bits and on the way to them.
COPIES = 5
BESIDES = 4 << 20  # bytes that it writes beside them
FULL = 1 << 20  # bytes: a disk with less is full
UNFINISHED = ".export-"
HISTORY = "history.jsonl"  # a training job adds it: what was validated, epoch by epoch


class ExportError(Exception):
    """The model can't be exported, or what was isn't the trained one: which part, and why or by how much."""


@dataclass(frozen=True)
class Trained:
    """A trained recognizer and all that serving must know of it."""

    model: FormulaRecognizer
    recognizer: str
    sizes: dict[str, Any]
    vocabulary: Vocabulary
    spec: inference.PreprocessSpec
    max_tokens: int
    metrics: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, float] | None = None  # the curves, see `evaluation/calibration.py`
    provenance: dict[str, Any] = field(default_factory=dict)


def export(trained: Trained, pictures: Sequence[np.ndarray], target: Path) -> inference.Recognizer:
    """Writes the model directory into `target` and returns it loaded, its golden samples reproduced.

    The directory is built and verified elsewhere and moved in at the end, `model.json` last: a directory with a
    model.json is complete.

    Args:
        pictures: a few RGB pictures to make golden samples of, typical of the training data.

    A target that holds a model gets this one in its place.

    Raises:
        ExportError: there is no way to ONNX, or ONNX doesn't equal torch.
        NoRoomError: the disk is too small.
        inference.ModelError: the golden samples don't reproduce.
    """
    target.mkdir(parents=True, exist_ok=True)
    for remains in target.glob(f"{UNFINISHED}*"):  # of an export that was killed; they would be packed with the model
        shutil.rmtree(remains)
    weights = sum(weight.nbytes for weight in trained.model.state_dict().values())
    with (
        tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=target) as name,
        _room(target, COPIES * weights + BESIDES),
    ):
        folder = Path(name)
        trained.model.eval().cpu()
        save_weights(trained.model.state_dict(), folder / WEIGHTS)
        _write_onnx(trained.model, folder)
        _write_int8(folder)
        _write_description(trained, folder)
        write_code(folder)
        _verify(trained, pictures[0], folder)
        write_golden(folder, golden_pictures(pictures))
        for precision in inference.NETWORKS:
            inference.Recognizer.load(folder, precision=precision).check_golden()
        (target / DESCRIPTION).unlink(missing_ok=True)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == DESCRIPTION):
            _replace(path, target / path.name)
    return inference.Recognizer.load(target)


@contextmanager
def _room(folder: Path, needed: int) -> Iterator[None]:
    """For what writes so many bytes. Where a disk fills up meanwhile, half a file may be written without a word, and
    who reads it complains of something else.

    Raises:
        NoRoomError: the disk hasn't so much room, or what failed within did because it was full.
    """
    check_room(folder, needed, "the export of the model")
    try:
        yield
    except Exception as error:
        if _tells_of_no_room(error) or shutil.disk_usage(folder).free < FULL:
            raise NoRoomError(f"the disk of {folder} is full: the model can't be exported; {LARGER_VOLUME}") from error
        raise


def _tells_of_no_room(error: BaseException | None) -> bool:
    """Whether a full disk is what it was raised for, or what was raised before it."""
    while error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        error = error.__cause__ or error.__context__
    return False


class _Encoder(nn.Module):
    def __init__(self, model: FormulaRecognizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        memory = self.model.encode(images, sizes)
        return self.model.prefix(memory), *memory.values()


class _Decoder(nn.Module):
    def __init__(self, model: FormulaRecognizer, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, tokens: Tensor, past: Tensor, *memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.step(tokens, past, dict(zip(self.names, memory, strict=True)))


@torch.no_grad()
def _write_onnx(model: FormulaRecognizer, folder: Path) -> None:
    images, sizes = torch.rand(2, 1, 32, 128), torch.tensor([[20, 100], [32, 128]])
    wide, wide_sizes = torch.rand(3, 1, 48, 160), torch.tensor([[20, 100], [48, 128], [33, 160]])
    memory, other = model.encode(images, sizes), model.encode(wide, wide_sizes)
    names = list(memory)
    any_size = Dim.DYNAMIC
    prefix = model.prefix(memory)
    write_onnx(
        _Encoder(model),
        (images, sizes),
        folder / "encoder.onnx",
        inputs=["images", "sizes"],
        outputs=["prefix", *names],
        dynamic=({0: any_size, 2: any_size, 3: any_size}, {0: any_size}),
    )
    past = torch.zeros(len(prefix) + 3, *prefix.shape[1:])
    varying = tuple(_differing(memory[name], other[name], any_size) for name in names)
    write_onnx(
        _Decoder(model, names),
        (torch.tensor([1, 2]), past, *(array.contiguous() for array in memory.values())),
        folder / "decoder.onnx",
        inputs=["tokens", "past", *names],
        outputs=["logits", "present"],
        dynamic=({0: any_size}, {0: any_size, **_differing(prefix, model.prefix(other), any_size)}, varying),
    )


def _differing(one: Tensor, other: Tensor, mark: Any) -> dict[int, Any]:
    """The dimensions that depend on the pictures: those that differ between two batches."""
    return {i: mark for i, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)) if a != b}


def write_onnx(
    module: nn.Module, example: tuple[Any, ...], path: Path, inputs: list[str], outputs: list[str], dynamic: Any
) -> None:
    """Writes a module of tensors as ONNX; `dynamic` has the dimensions of each input that may vary (torch.export).

    Raises:
        ExportError: the module does something that ONNX, or torch's way to it, hasn't.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module.eval(),
                example,
                path,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=dynamic,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # what it asks for is a report to PyTorch; what it stumbled over, its cause says
            said = [line for line in str(error.__cause__ or error).splitlines() if line.strip()]
            place = [line.partition("(args")[0] for line in said[1:] if line.startswith("While executing")]
            raise ExportError(f"torch can't write {path.name}: {' '.join([*said[:1], *place[:1]])}") from error
    network = onnx.load(str(path))
    strip_traces(network)
    # torch takes a row of the past for there from the second step on; a shape noted so fails at the first, without one.
    del network.graph.value_info[:]
    onnx.save(network, str(path))


def _write_int8(folder: Path) -> None:
    """The networks once more, the weights of matrix products in 8 bits and their inputs rounded as they come.

    Convolutions stay as they are: rounded as they come they are slower, and with fixed ranges they lose accuracy.
    """
    logging.getLogger().addFilter(silence := lambda record: "pre-processing before quantization" not in record.msg)
    try:
        for plain, rounded in zip(inference.NETWORKS["fp32"], inference.NETWORKS["int8"], strict=True):
            quantize_dynamic(
                folder / plain,
                folder / rounded,
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                reduce_range=True,  # 7 bits: products of 8 overflow on processors without VNNI
                weight_type=QuantType.QInt8,
            )
    finally:
        logging.getLogger().removeFilter(silence)


def strip_traces(network: onnx.ModelProto) -> None:
    """Removes what the exporter notes of each node: where in our sources it came from, with this machine's paths."""
    for part in (network.graph, *network.functions):
        for each in (part, *part.node, *part.value_info):
            each.ClearField("metadata_props")
    for each in (*network.graph.input, *network.graph.output, *network.graph.initializer):
        each.ClearField("metadata_props")


def _write_description(trained: Trained, folder: Path) -> None:
    description = {
        "format_version": inference.FORMAT_VERSION,
        "version": version_of(trained.recognizer, folder / WEIGHTS),
        "recognizer": {"name": trained.recognizer, "sizes": trained.sizes},
        "preprocess": trained.spec.to_dict(),
        "vocabulary": trained.vocabulary.to_dict(),
        "limits": {"max_tokens": trained.max_tokens},
        "calibration": trained.calibration,
        "provenance": {**trained.provenance, "torch": torch.__version__, "onnxruntime": ort.__version__},
        "metrics": trained.metrics,
    }
    text = json.dumps(description, ensure_ascii=False, indent=1) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def version_of(recognizer: str, weights: Path) -> str:
    """The name that tells a model from any with other weights."""
    return f"{recognizer}-{hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}"


def write_code(folder: Path) -> None:
    """Writes what the model directory carries of our code."""
    code = folder / "code"
    code.mkdir()
    shutil.copyfile(inference.__file__, code / "inference.py")
    lines = [f"{name}=={version(name)}" for name in REQUIREMENTS]
    (code / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@torch.no_grad()
def _verify(trained: Trained, picture: np.ndarray, folder: Path) -> None:
    """Compares torch and ONNX on a picture alone and beside a wider one, encoded with it and without, over some steps;
    and the steps, which are served, with `decode`, which was trained.

    Raises:
        ExportError: they differ.
    """
    model, spec, vocabulary = trained.model, trained.spec, trained.vocabulary
    encoder = ort.InferenceSession(str(folder / "encoder.onnx"), providers=["CPUExecutionProvider"])
    decoder = ort.InferenceSession(str(folder / "decoder.onnx"), providers=["CPUExecutionProvider"])
    narrow = inference.preprocess(picture, spec)
    wide = np.concatenate([narrow, narrow], axis=1)

    def encode(inputs: list[np.ndarray]) -> inference.Memory:
        images, sizes = inference.make_batch(inputs, spec)
        names = [output.name for output in encoder.get_outputs()]
        seen = dict(zip(names, encoder.run(names, {"images": images, "sizes": sizes}), strict=True))
        return seen | {inference.PREFIX: seen[inference.PREFIX].swapaxes(0, 1)}

    for inputs in ([narrow], [wide, narrow, narrow]):
        images, sizes = inference.make_batch(inputs, spec)
        memory = model.encode(torch.from_numpy(images), torch.from_numpy(sizes))
        together, alone = encode(inputs), inference.join_memories([encode([image]) for image in inputs])
        # Alone, as they are served on a CPU; there the places of a memory, and of a state, are others.
        ways = {"": together, f" of pictures encoded alone ({inference.MASK}?)": alone}
        pasts = {way: arrays.pop(inference.PREFIX).swapaxes(0, 1) for way, arrays in ways.items()}
        past = model.prefix(memory)
        _compare("the encoder's prefix", past, pasts[""])
        tokens, fed, said = torch.full((len(inputs),), vocabulary.bos), [], []
        for _ in range(4):
            logits, present = model.step(tokens, past, memory)
            fed.append(tokens)
            said.append(logits)
            for way, arrays in ways.items():
                given = {"tokens": tokens.numpy(), "past": pasts[way], **arrays}
                answer, row = decoder.run(["logits", "present"], given)
                _compare(f"the decoder's logits{way}", logits, answer)
                pasts[way] = np.concatenate([pasts[way], row[None]])
            past, tokens = torch.cat([past, present[None]]), logits.argmax(dim=1)
        taught, served = model.decode(memory, torch.stack(fed, dim=1)), torch.stack(said, dim=1)
        _compare("what is served isn't what was trained", taught, served.numpy(), "step differs from decode")


def _compare(what: str, expected: Tensor, seen: np.ndarray, fault: str = "ONNX differs from torch") -> None:
    difference = float(np.abs(expected.numpy() - seen).max()) if seen.size else 0.0
    if expected.shape != seen.shape or not difference < TOLERANCE:
        raise ExportError(f"{what}: {fault} by {difference:.2e} (shape {seen.shape})")


def golden_pictures(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The pictures as they are, and two on which wrong colours or a wrong resize filter would show."""
    first = pictures[0]
    paper = first.astype(np.float32) / 255
    blue_on_yellow = (paper * (250, 240, 170) + (1 - paper) * (150, 60, 20)).astype(np.uint8)
    enlarged = np.kron(first, np.ones((3, 3, 1), dtype=np.uint8))
    return [*pictures, blue_on_yellow, enlarged]


def write_golden(folder: Path, pictures: Sequence[np.ndarray]) -> None:
    """Writes RGB pictures, what the networks see of them, and the answers of the model in this folder, which may have
    some already."""
    golden = folder / "golden"
    shutil.rmtree(golden, ignore_errors=True)
    golden.mkdir()
    recognizer, *others = (
        inference.Recognizer.load(folder, precision=precision)
        for precision, networks in inference.NETWORKS.items()
        if precision == "fp32" or any(folder.rglob(networks[0]))  # an ensemble's stand in its members' folders
    )
    expected: list[dict[str, Any]] = []
    inputs = {}
    for number, picture in enumerate(pictures):
        name = f"{number:02}.png"
        Image.fromarray(picture).save(golden / name)
        prepared = recognizer.prepare(inference.read_image((golden / name).read_bytes()))
        inputs[name] = recognizer.pixels(prepared)
        answers = {other.precision: _answer(other, prepared) for other in others}
        expected.append({"file": name, **_answer(recognizer, prepared), **answers})
    halves: dict[str, Any] = {name: array.astype(np.float16) for name, array in inputs.items()}
    np.savez_compressed(golden / "inputs.npz", **halves)
    text = json.dumps(expected, ensure_ascii=False, indent=1) + "\n"
    (golden / "golden.json").write_text(text, encoding="utf-8")


def _answer(recognizer: inference.Recognizer, prepared: inference.Prepared) -> dict[str, Any]:
    answer = recognizer.recognize([prepared])[0]
    return {"latex": answer.latex, "confidence": round(answer.confidence, 6)}


def amend(folder: Path, further: Mapping[str, Any]) -> dict[str, Any]:
    """Writes into model.json what is known only once the exported networks were measured; returns all that it says."""
    path = folder / DESCRIPTION
    description = {**json.loads(path.read_text(encoding="utf-8")), **further}
    text = json.dumps(description, ensure_ascii=False, indent=1) + "\n"
    write_whole(path, text)
    return description


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)
