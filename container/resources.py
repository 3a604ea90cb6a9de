"""How much of the machine this container may use: CPUs, memory, memory for shared tensors, threads.

`os.cpu_count()` tells the cores of the HOST. A container limited to two of 64 cores that starts 64 threads is
slower than with one (threads wait for each other's time slices), so both programs (`train`, `serve`) and
`doctor` take their thread counts from here. Standard library only: the serving image imports it before
anything else.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
SHM_DIR = Path("/dev/shm")
PROC_SELF_CGROUP = Path("/proc/self/cgroup")


def cpu_limit(cgroup_root: Path | None = None) -> float:
    """CPUs this process may use: the least of the cgroup's quota (v1 or v2) and the CPU affinity, above 0.

    Fractions are kept (`docker run --cpus 1.5` gives 1.5). `cgroup_root` is for tests.
    """
    root = CGROUP_ROOT if cgroup_root is None else cgroup_root
    available = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quotas = [quota for folder in _cgroup_folders(root, "cpu") if (quota := _quota(folder)) is not None]
    return min([available, *quotas])


def suggested_threads(cgroup_root: Path | None = None) -> int:
    """Whole number of compute threads that fit into `cpu_limit()`: rounded down, at least 1."""
    return max(1, math.floor(cpu_limit(cgroup_root)))


def memory_limit(cgroup_root: Path | None = None) -> int:
    """Bytes of memory this process may use: the least of the cgroup's limit (v1 or v2) and what the machine has."""
    root = CGROUP_ROOT if cgroup_root is None else cgroup_root
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for folder in _cgroup_folders(root, "memory") for limit in _memory_limits(folder))])


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder that can be seen; 0 if there is none."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except OSError:  # taken away meanwhile, or a link to nothing
                continue
    return total


def shm_bytes(folder: Path | None = None) -> int:
    """Size of /dev/shm in bytes (Docker's default is 64 MiB), 0 if there is none.

    Data loader workers hand their batches over through it: when it is full they die of a bus error.
    """
    try:
        status = os.statvfs(SHM_DIR if folder is None else folder)
    except OSError:
        return 0
    return status.f_frsize * status.f_blocks


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """Folders that may hold this process's limit of `cpu` or `memory`: its own group and its parents, v2 then v1.

    Inside a container the own group is usually the root ("0::/"); outside, a limit may stand on any ancestor
    (a systemd slice), and the tightest one counts.
    """
    folders = [root, root / controller, root / "cpu,cpuacct"]
    try:
        lines = PROC_SELF_CGROUP.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if hierarchy == "0":
            base = root
        elif controller in controllers.split(","):
            base = root / controllers
        else:
            continue
        parts = [part for part in group.split("/") if part and part != ".."]
        folders += [base.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return folders


def _quota(folder: Path) -> float | None:
    """CPUs granted by the quota files in one cgroup folder; None where there is no limit or no such file."""
    try:  # v2: "200000 100000" or "max 100000"
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:  # v1: two files; -1 = no limit
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cpus = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return cpus if cpus > 0 else None


def _memory_limits(folder: Path) -> list[int]:
    """The limits in one cgroup folder; v2 says "max" where there is none, v1 a number beyond any machine."""
    limits = []
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return limits
