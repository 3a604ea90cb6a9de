"""`compile=true`: torch.compile for the transformer layers, whose small operations it joins into few.

Layer by layer, and for sequences of any length at once: batches come in hundreds of shapes, and a network compiled as a
whole would be compiled for each. Convolutions stay as they are: torch 2.13 can't compile channels-last ones of any size
(its sort of strides fails), and has nothing to join there.
"""

from __future__ import annotations

import os
import shutil

import torch
from torch import nn

from recognizer.models.layers import DecoderLayer, EncoderLayer


class CompileError(ValueError):
    """This job can't compile; the message says why, and what to do."""


def compile_layers(model: nn.Module, device: torch.device) -> None:
    """Compiles in place, at the first step; weights and their names stay the same.

    Raises:
        CompileError: the recognizer has no such layers, or there is no compiler.
    """
    layers = [module for module in model.modules() if isinstance(module, EncoderLayer | DecoderLayer)]
    if not layers:
        raise CompileError(f"compile=true: {type(model).__name__} has no layers to compile; leave it out")
    compiler = os.environ.get("CC", "gcc") if device.type == "cuda" else os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise CompileError(
            f"compile=true: the compiler {compiler} is missing; install it (Debian: g++) or leave it out"
        )
    for layer in layers:
        layer.compile(dynamic=True)
