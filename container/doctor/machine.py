"""The machine: CPUs and threads, shared memory, GPU and driver, folders that must be writable."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from container import resources
from container.doctor.check import Finding, Status
from container.serve.model_location import SHIPPED
from container.train.jobdir import base_dir

MIB = 1024 * 1024
SMALL_SHM = 512 * MIB
LITTLE_DISK = 2 * 1024 * MIB
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# In a process of its own: a broken driver may hang or crash the one that asks
TORCH_GPU = """
import json, torch
answer = {"build": torch.version.cuda, "available": torch.cuda.is_available(), "error": None, "devices": []}
try:
    for index in range(torch.cuda.device_count() if answer["available"] else 0):
        torch.zeros(1, device=f"cuda:{index}").add_(1)
        answer["devices"].append(torch.cuda.get_device_name(index))
except Exception as error:
    answer["error"] = str(error).splitlines()[0]
print(json.dumps(answer))
"""


def check() -> list[Finding]:
    """Findings about this machine, or about what the container was given of it."""
    return [threads(), shared_memory(), gpu(), *folders()]


def threads(cpus: float | None = None) -> Finding:
    """Thread variables against the CPUs of the cgroup (threads that wait for each other are slower than one)."""
    cpus = resources.cpu_limit() if cpus is None else cpus
    fitting = max(1, int(cpus))
    text = f"{cpus:g} CPUs may be used, of {os.cpu_count()} in the machine"
    for name in THREAD_VARIABLES:
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > fitting:
            return Finding("threads", "warning", f"{text}; {name}={value}", f"set {name}={fitting}, or unset it")
    return Finding("threads", "ok", f"{text}; the programs start {fitting} compute threads")


def shared_memory(size: int | None = None) -> Finding:
    """Size of /dev/shm, through which data loader workers hand over their batches."""
    size = resources.shm_bytes() if size is None else size
    text = f"/dev/shm has {size / MIB:.0f} MiB"
    if size >= SMALL_SHM or not importlib.util.find_spec("torch"):  # serving does not use it
        return Finding("shared memory", "ok", text)
    remedy = "docker run --shm-size 1g, or train with workers=0"
    return Finding("shared memory", "warning", f"{text}: data loader workers may die of a bus error", remedy)


def gpu() -> Finding:
    """GPUs that the driver shows, and whether this environment can use them."""
    driver = _nvidia_smi()
    if importlib.util.find_spec("torch"):
        return _torch_gpu(driver)
    if driver:
        remedy = "use the CUDA serving image to serve on it; the CPU one works as well"
        usable = _onnxruntime_uses_gpu()
        return Finding("gpu", "ok" if usable else "warning", driver, "" if usable else remedy)
    return Finding("gpu", "ok", "none; everything runs on the CPU")


def folders() -> list[Finding]:
    """The folders that programs write to. A read-only root is fine as long as these are writable."""
    findings = []
    scratch = Path(tempfile.gettempdir()) if _has_temporary_folder() else None
    if scratch is None:
        findings.append(Finding("temporary files", _unwritable(), "no writable folder", "docker run --tmpfs /tmp"))
    else:
        findings.append(_disk("temporary files", scratch))
    job = base_dir()
    if not job.exists():
        findings.append(Finding("job folder", "ok", f"{job} is not there (SageMaker, or `docker run -v`, mounts it)"))
    elif not _writable(job):
        remedy = f"docker run --user $(id -u):$(id -g), or make {job} writable for user {os.getuid()}"
        findings.append(Finding("job folder", _unwritable(), f"{job} is not writable", remedy))
    else:
        findings.append(_disk("job folder", job))
    root = "writable" if os.access("/", os.W_OK) and _writable(Path("/")) else "read-only for us (fine)"
    return [*findings, Finding("root file system", "ok", root)]


def _unwritable() -> Status:
    """How bad a folder is that can't be written to: training must, serving does well without."""
    return "failure" if importlib.util.find_spec("torch") else "warning"


def _torch_gpu(driver: str | None) -> Finding:
    try:
        done = subprocess.run([sys.executable, "-c", TORCH_GPU], capture_output=True, text=True, timeout=120)
        answer = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return Finding("gpu", "failure", "torch does not answer about CUDA", "look at `python -c 'import torch'`")
    if answer["error"]:
        remedy = "the driver is older than the CUDA build of torch: update it, or use the CPU image"
        return Finding("gpu", "failure", f"{driver or 'no nvidia-smi'}; torch: {answer['error']}", remedy)
    if answer["devices"]:
        return Finding(
            "gpu", "ok", f"{', '.join(answer['devices'])} (CUDA {answer['build']}); {driver or ''}".strip("; ")
        )
    if not driver:
        return Finding("gpu", "ok", "none; everything runs on the CPU")
    if answer["build"] is None:
        return Finding("gpu", "warning", f"{driver}, but torch is a CPU build", "use the CUDA image to train on it")
    remedy = "docker run --gpus all; if that is given, the driver is too old for this CUDA: update it"
    return Finding("gpu", "warning", f"{driver}, but torch (CUDA {answer['build']}) does not see it", remedy)


def _nvidia_smi() -> str | None:
    """`NVIDIA H100 80GB HBM3, driver 550.54.15`, one for each GPU; None without driver."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"
    if done.returncode != 0:
        return f"nvidia-smi fails: {(done.stdout + done.stderr).strip().partition(chr(10))[0] or done.returncode}"
    return "; ".join(line.replace(", ", ", driver ") for line in done.stdout.strip().splitlines()) or None


def _onnxruntime_uses_gpu() -> bool:
    """Whether the shipped model would: a build with CUDA whose libraries don't load falls back to the CPU."""
    code = "import sys, inference; print(inference.Recognizer.load(sys.argv[1], threads=1).providers[0])"
    try:
        done = subprocess.run([sys.executable, "-c", code, str(SHIPPED)], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return False
    return done.stdout.split()[-1:] == ["CUDAExecutionProvider"]


def _disk(subject: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{folder} is writable, {free / 1e9:.1f} GB free"
    if free < LITTLE_DISK:
        return Finding(subject, "warning", text, "make room: checkpoints and the model are written there")
    return Finding(subject, "ok", text)


def _has_temporary_folder() -> bool:
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return False
    return True


def _writable(folder: Path) -> bool:
    """Try it: access(2) says yes to root on a read-only mount's folder of some file systems."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return True
    except OSError:
        return False
