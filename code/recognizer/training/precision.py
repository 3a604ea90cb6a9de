"""Number formats: autocast, the scaler that fp16 needs, and a guard against steps that aren't finite."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MAX_SKIPPED = 20  # steps in a row


class NotFiniteError(Exception):
    """Training can't go on: the gradient stayed infinite or NaN, or the loss has become so."""


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bf16 by instructions of its own; elsewhere it is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not hasattr(torch.cpu, "get_capabilities"):  # before torch 2.11; a job may run in another image
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


class Precision:
    """`fp32`, `bf16` or `fp16` on one device; scales, unscales, clips and steps in the right order."""

    def __init__(self, name: str, device: torch.device, clip_norm: float) -> None:
        """`name`: one of these, or `auto`."""
        self.name = ("bf16" if has_bf16(device) else "fp32") if name == "auto" else name
        self.dtype = DTYPES[self.name]
        self.device, self.clip_norm = device, clip_norm
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.skipped = 0

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def resume(self, scaler: dict[str, Any]) -> None:
        """Goes on with the scaler's state of a run before; one in another format has none."""
        if scaler:
            self.scaler.load_state_dict(scaler)

    def step(
        self, loss: Tensor, model: nn.Module, optimizer: torch.optim.Optimizer, explain: Callable[[], str]
    ) -> bool:
        """Backward, unscale, clip, step. A step whose gradient isn't finite is skipped and False is returned.

        Args:
            explain: called after a skipped step; says what isn't finite, and tells the user.

        Raises:
            NotFiniteError: too many steps in a row were skipped; ends with the last explanation.
        """
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
        finite = bool(torch.isfinite(norm))
        if finite:
            self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if finite:
            self.skipped = 0
            return True
        self.skipped += 1
        reason = explain()
        if self.skipped >= MAX_SKIPPED:
            raise NotFiniteError(
                f"the gradient wasn't finite for {MAX_SKIPPED} steps in a row; lower learning_rate, or set "
                f"precision=bf16 or fp32. In the last one: {reason}"
            )
        return False
