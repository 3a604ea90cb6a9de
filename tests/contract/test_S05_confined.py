"""S5: runs as an ordinary user, and writes to no disk, so that the root file system may be read-only.

The images are tested for this in tests/container; here the same program is looked at without a container.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())
NOBODY = 65534


def test_S05_writes_to_no_disk(own_base_dir, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with Server(own_base_dir, {"HOME": str(home), "TMPDIR": str(tmp_path / "missing")}) as server:
        server.wait_until_ready()
        before = snapshot(own_base_dir, home)
        assert server.invoke(PICTURE * 3).status == 200  # trailing bytes do no harm
        written = {name for pid in family(server.process.pid) for name in open_for_writing(pid)}
        assert snapshot(own_base_dir, home) == before
    assert not list(home.iterdir())
    assert all(name.startswith("/dev/shm/") for name in written), written


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_S05_ordinary_user(own_base_dir):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # pytest's own folders are closed to others
        base_dir = Path(shutil.copytree(own_base_dir, Path(folder) / "base"))
        base_dir.chmod(0o755)
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable]
        with Server(base_dir, command=[*command, "-m", "container.serve"]) as server:
            server.wait_until_ready()
            assert Path(f"/proc/{server.process.pid}").stat().st_uid == NOBODY
            assert server.invoke(PICTURE).status == 200


def snapshot(*folders: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime for folder in folders for path in folder.rglob("*")}


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(descendant for child in children for descendant in family(int(child)))]


def open_for_writing(pid: int) -> list[str]:
    """Regular files that a process holds open for writing."""
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            flags = int(Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split("flags:")[1].split()[0], 8)
            if flags & os.O_ACCMODE != os.O_RDONLY and stat.S_ISREG(link.stat().st_mode):
                names.append(str(link.readlink()))
    return names
