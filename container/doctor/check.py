"""A finding of the doctor: what was looked at, how it is, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """`remedy` is empty where nothing needs doing."""

    subject: str
    status: Status
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.status:8} {self.subject}: {self.text}"
        return f"{line}\n{'':8} -> {self.remedy}" if self.remedy else line

    def to_dict(self) -> dict[str, str]:
        return asdict(self)
