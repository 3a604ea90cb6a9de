"""Packages: their versions against the lock, whether they import, and whether something stands in their way.

Failure table: "server lacks packages; versions fight", `ExecuteUserScriptError`, `libGL.so.1`, stray folders that
Python takes for namespace packages.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from container.doctor.check import Finding

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (3, 11)
# group -> (distribution whose presence means that the group is meant, lock files of which one applies)
GROUPS = {
    "train": ("sagemaker-training", ("train",)),
    "torch": ("torch", ("torch-cpu", "torch-cuda")),
    "serve": ("gunicorn", ("serve", "serve-cuda")),
    "dev": ("pytest", ("dev",)),
}
OWN_PACKAGES = ("container", "inference", "recognizer")
IMPORT_TIMEOUT = 300  # seconds for all of them; torch alone takes several on a slow disk
REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]*?))?\s*\\?$")

DIRECT = re.compile(r"^\s+#\s+(via\s+)?-r \S+\.in")

# Reads module names from its arguments, imports each, and says after each how it went. In a process of its own: a
# broken library may crash the interpreter, and then the last name printed is the culprit.
IMPORTER = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps({"start": name}), flush=True)
    try:
        module = importlib.import_module(name)
        problem = None if getattr(module, "__file__", None) else "namespace"
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
    print(json.dumps({"name": name, "problem": problem}), flush=True)
"""


@dataclass(frozen=True)
class Requirement:
    """One pinned line of a lock file; `direct` if the project asks for it itself."""

    name: str
    version: str
    direct: bool


def check() -> list[Finding]:
    """Findings about Python, the locked packages, their imports and what shadows them."""
    findings = [_python()]
    folder = lock_folder()
    if folder is None:
        missing = f"no lock files in {ROOT / 'locks'} or {ROOT / 'docker/locks'}"
        return [*findings, Finding("lock", "failure", missing, "run doctor from the repository or in an image")]
    required: list[Requirement] = []
    for group, (sign, names) in GROUPS.items():
        locks = [path for name in names if (path := folder / f"{name}.txt").exists()]
        if not locks or _installed(sign) is None:
            continue
        lock, requirements, problems = min(
            ((lock, found := read_lock(lock), differences(found)) for lock in locks), key=lambda item: len(item[2])
        )
        required += requirements
        findings.append(_lock_finding(group, lock, len(requirements), problems))
    if not required:
        text = "neither a training nor a serving environment: no sagemaker-training, torch, gunicorn or pytest"
        findings.append(
            Finding("lock", "failure", text, "install one with docker/install-locked, or `make train-local`")
        )
    return [*findings, _imports(required), *_shadows(required)]


def lock_folder() -> Path | None:
    """/opt/program/locks in an image, docker/locks in the repository."""
    return next((path for path in (ROOT / "locks", ROOT / "docker/locks") if path.is_dir()), None)


def read_lock(path: Path) -> list[Requirement]:
    """Pinned requirements of a lock file that apply to this machine (its markers are looked at)."""
    found: list[Requirement] = []
    in_force = False  # whether the last pinned line applies here; the comments below it say who wants it
    for line in path.read_text(encoding="utf-8").splitlines():
        match = REQUIREMENT.match(line)
        if match:
            in_force = _applies(match["marker"])
            if in_force:
                found.append(Requirement(match["name"], match["version"], direct=False))
        elif in_force and DIRECT.match(line):
            found[-1] = replace(found[-1], direct=True)
    return found


def differences(requirements: Iterable[Requirement]) -> list[str]:
    """`name: installed 1.0, locked 2.0` for each that is not as the lock says."""
    problems = []
    for requirement in requirements:
        installed = _installed(requirement.name)
        if installed != requirement.version:
            state = f"installed {installed}" if installed else "not installed"
            problems.append(f"{requirement.name}: {state}, locked {requirement.version}")
    return problems


def module_names(requirements: Iterable[Requirement]) -> list[str]:
    """Top-level modules of the directly required packages (a distribution may name its module otherwise).

    Namespace packages that are meant to be such (`mpl_toolkits`) are left out.
    """
    wanted = {_canonical(requirement.name) for requirement in requirements if requirement.direct}
    names = set()
    for module, distributions in metadata.packages_distributions().items():
        owners = [name for name in distributions if _canonical(name) in wanted]
        if module.isidentifier() and not module.startswith("_") and any(_ships(name, module) for name in owners):
            names.add(module)
    return sorted(names)


def _ships(distribution: str, module: str) -> bool:
    """Whether the distribution holds `module` as a regular package, a file or an extension."""
    files = [str(path) for path in metadata.files(distribution) or []]
    return any(re.fullmatch(rf"{module}(/__init__)?(\.py|\..*so)", path) for path in files)


def shadowing_files(folders: Iterable[Path], names: Iterable[str]) -> list[Path]:
    """Files and packages in `folders` that Python would import in place of the installed module of that name."""
    wanted = set(names)
    found = []
    for folder in folders:
        if folder.is_dir():
            found += [
                path
                for path in sorted(folder.iterdir())
                if (path.suffix == ".py" and path.stem in wanted)
                or (path.name in wanted and (path / "__init__.py").exists())
            ]
    return found


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] == PYTHON:
        return Finding("python", "ok", f"{version}, {sys.executable}")
    wanted = ".".join(str(part) for part in PYTHON)
    return Finding("python", "failure", f"{version}; the locks are made for {wanted}", f"use Python {wanted}")


def _lock_finding(group: str, lock: Path, count: int, problems: list[str]) -> Finding:
    subject = f"versions ({group})"
    if not problems:
        return Finding(subject, "ok", f"{count} packages as in {lock.name}")
    remedy = f"{lock.parent.parent.name}/install-locked PYTHON {lock.stem}, or build the image again"
    return Finding(subject, "failure", f"{len(problems)} of {count} differ from {lock.name}: {_some(problems)}", remedy)


def _imports(required: list[Requirement]) -> Finding:
    own = [name for name in OWN_PACKAGES if importlib.util.find_spec(name)]
    names = [*module_names(required), *own]
    problems = _import_all(names)
    if not problems:
        return Finding("imports", "ok", f"{len(names)} modules import")
    shown = _some([f"{name}: {problem}" for name, problem in problems.items()])
    return Finding("imports", "failure", f"{len(problems)} of {len(names)} fail: {shown}", _import_remedy(shown))


def _import_all(names: list[str]) -> dict[str, str]:
    """Problem by module name, for those that do not import."""
    own_path = [path for path in sys.path if path]
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {own_path!r}\n{IMPORTER}", *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT)
        output, state = done.stdout, f"the interpreter ended with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output, state = (error.stdout or b"").decode(errors="replace"), f"took more than {IMPORT_TIMEOUT} s"
    problems: dict[str, str] = {}
    current: str | None = None
    for line in output.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue  # a module that prints while it is imported
        if not isinstance(message, dict):
            continue
        current = message.get("start")
        if message.get("problem") == "namespace":
            problems[message["name"]] = "an empty folder of that name was imported in its place"
        elif message.get("problem"):
            problems[message["name"]] = message["problem"].splitlines()[0]
    if current:
        problems[current] = state
    return problems


def _import_remedy(text: str) -> str:
    if "libGL" in text:
        return "opencv-python-headless must be the only OpenCV: pip uninstall opencv-python, then install from the lock"
    if "No module named" in text:
        return "install from the lock (docker/install-locked), or build the image again"
    return "run `python -X importtime -c 'import NAME'` for the whole message; install from the lock again"


def _shadows(required: list[Requirement]) -> list[Finding]:
    """What is found in the place of a package: our own as namespace folders, the standard library's as ours."""
    problems = []
    for name in OWN_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue
        if spec.origin is None:
            where = ", ".join(spec.submodule_search_locations or [])
            problems.append(f"{name} is a folder without __init__.py ({where})")
        elif not Path(spec.origin).resolve().is_relative_to(ROOT):
            problems.append(f"{name} comes from {spec.origin}, not from {ROOT}")
    installed = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders = [Path(path) for path in dict.fromkeys(sys.path) if path and not _is_installed_path(path, installed)]
    names = {*sys.stdlib_module_names, *module_names(required)} - {"__main__"}
    problems += [f"{path} hides the module {path.stem}" for path in shadowing_files(folders, names)]
    if not problems:
        return [Finding("shadowing", "ok", "nothing stands in the place of a package")]
    remedy = "remove or rename it, or start from another folder (look at PYTHONPATH)"
    return [Finding("shadowing", "failure", _some(problems), remedy)]


def _is_installed_path(path: str, installed: set[str]) -> bool:
    return path.endswith(".zip") or any(path == base or path.startswith(base + "/") for base in installed)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _applies(marker: str | None) -> bool:
    if not marker:
        return True
    try:
        from packaging.markers import Marker
    except ImportError:
        return True
    return Marker(marker.strip()).evaluate()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _some(items: list[str], limit: int = 5) -> str:
    shown = "; ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown}; and {len(items) - limit} more"
