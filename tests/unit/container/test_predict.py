"""Recognizing many pictures: a row for every input whatever becomes of it, and nothing twice after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from container import predict
from tests.support.handlers import NARROW, fail_for_narrow, replace_handler, slow_down
from tests.support.server import ROOT, Server
from tests.support.tiny_model import formula_picture, png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty good pictures, in two folders, and what else people keep beside them."""
    root = tmp_path / "pictures"
    (root / "more").mkdir(parents=True)
    for number in range(40):
        name = f"more/{number:02d}.png" if number % 2 else f"{number:02d}.PNG"
        (root / name).write_bytes(png(formula_picture(number)))
    (root / "notes.txt").write_text("no picture")
    return root


def names_of(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() == ".png"}


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def run(base_dir: Path, pictures: Path, out: Path) -> int:
    return predict.main([str(base_dir / "model"), str(pictures), "--out", str(out)])


def test_every_picture_of_a_folder_gets_the_servers_answer(
    tiny_base_dir, tiny_server: Server, folder, tmp_path, capsys
):
    (folder / "phone.HEIC").write_bytes(b"of a format that isn't read")
    (folder / "bad.png").write_bytes(b"no picture")
    (folder / "blank.png").write_bytes(png(np.full((40, 60, 3), 255, np.uint8)))
    out = tmp_path / "new" / "answers.jsonl"
    assert run(tiny_base_dir, folder, out) == 0
    rows = {row.pop("image"): row for row in rows_of(out)}
    assert set(rows) == names_of(folder) and len(rows_of(out)) == 42
    assert "passed over, as not named as pictures: 1 .heic, 1 .txt\n" in capsys.readouterr().err
    assert rows["bad.png"]["error"]["code"] == "undecodable_image"
    assert rows["blank.png"]["latex"] == "" and rows["blank.png"]["blank"]
    for name in ("00.PNG", "more/01.png"):
        expected = tiny_server.invoke((folder / name).read_bytes()).json()
        assert rows[name] == {**expected, "confidence": pytest.approx(expected["confidence"], abs=1e-4)}


def test_L15_a_manifest_keeps_its_order_and_its_mistakes(tiny_base_dir, folder, tmp_path, capsys):
    lines = [
        "more/01.png",
        '{"image": "00.PNG", "id": 7}',
        "",
        "missing.png",
        '{"picture": "00.PNG"}',
        "{",
        "more",
        "nul\0.png",
        "more/01.png",
        str(folder / "02.PNG"),
        "schön.png",
    ]
    manifest, out = folder / "list.txt", tmp_path / "answers.jsonl"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    assert run(tiny_base_dir, manifest, out) == 0
    rows = rows_of(out)
    assert [row.get("error", {}).get("code", "") for row in rows] == [
        *("", "", "file_not_found", "invalid_manifest_line", "invalid_manifest_line", "file_not_found"),
        *("file_not_found", "", "", "file_not_found"),
    ]
    assert [row["image"] for row in rows] == ["more/01.png", "00.PNG", *lines[3:]]
    assert "4 answers and 6 errors added" in capsys.readouterr().err
    before = out.read_bytes()
    assert (
        run(tiny_base_dir, manifest, out) == 0
    )  # nothing is done twice, and the picture that is named twice is there twice
    assert out.read_bytes() == before


def test_a_folder_is_walked_through_links_once_and_past_what_is_hidden(tiny_base_dir, folder, tmp_path):
    """As training reads it: a link's pictures were missed, and macOS's shadows of files got an error each."""
    everything, out = tmp_path / "everything", tmp_path / "answers.jsonl"
    everything.mkdir()
    (everything / "linked").symlink_to(folder, target_is_directory=True)
    (everything / "round").symlink_to(everything, target_is_directory=True)
    (everything / "._a.png").write_bytes(b"a shadow")
    (everything / "__MACOSX").mkdir()
    (everything / "__MACOSX/a.png").write_bytes(b"another")
    assert run(tiny_base_dir, everything, out) == 0
    assert {row["image"] for row in rows_of(out)} == {f"linked/{name}" for name in names_of(folder)}


def test_the_list_of_a_labelled_set_will_do(tiny_base_dir, folder, tmp_path):
    labelled, out = tmp_path / "labelled", tmp_path / "answers.jsonl"
    (labelled / "images").mkdir(parents=True)
    (labelled / "images/a.png").write_bytes((folder / "00.PNG").read_bytes())
    (labelled / "gt.txt").write_text("a.png\tx ^ 2\n")
    assert run(tiny_base_dir, labelled / "gt.txt", out) == 0
    (row,) = rows_of(out)
    assert row["image"] == "a.png" and "error" not in row


def test_one_picture_is_a_list_of_one(tiny_base_dir, folder, tmp_path):
    assert run(tiny_base_dir, folder / "00.PNG", tmp_path / "answers.jsonl") == 0
    assert [row["image"] for row in rows_of(tmp_path / "answers.jsonl")] == ["00.PNG"]


@pytest.mark.parametrize(("name", "content"), [("scan.pdf", b"%PDF-1.4\nabc\n"), ("photo.heic", b"ftypheic\0\xff\n")])
def test_a_file_of_another_kind_is_no_list(tiny_base_dir, tmp_path, capsys, name, content):
    """Each of its lines was taken for a path and got a row, with exit code 0."""
    (tmp_path / name).write_bytes(content)
    assert run(tiny_base_dir, tmp_path / name, tmp_path / "answers.jsonl") == 2
    assert f"{name} is neither a list of paths nor named as a picture (.avif .bmp" in capsys.readouterr().err
    assert not (tmp_path / "answers.jsonl").exists()


def test_an_empty_file_is_called_so(tiny_base_dir, folder, tmp_path):
    """Its error spoke of a request without a body."""
    (folder / "00.PNG").write_bytes(b"")
    assert run(tiny_base_dir, folder / "00.PNG", tmp_path / "answers.jsonl") == 0
    error = rows_of(tmp_path / "answers.jsonl")[0]["error"]
    assert error["code"] == "unreadable_file" and error["message"].endswith("00.PNG is empty")


def test_a_file_that_is_too_large_is_not_read(tiny_base_dir, folder, tmp_path):
    with (folder / "00.PNG").open("ab") as file:
        file.truncate(predict.MAX_FILE_MB * 1024 * 1024 + 1)
    assert run(tiny_base_dir, folder / "00.PNG", tmp_path / "answers.jsonl") == 0
    assert rows_of(tmp_path / "answers.jsonl")[0]["error"]["code"] == "payload_too_large"


def test_L15_goes_on_after_a_kill(own_base_dir, folder, tmp_path):
    out = tmp_path / "answers.jsonl"
    slow_down(own_base_dir, 0.5)
    command = [sys.executable, "-m", "container.predict", str(own_base_dir / "model"), str(folder), "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}) as job:
        deadline = time.monotonic() + 30
        while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        job.send_signal(signal.SIGKILL)
    before = rows_of(out)
    assert 0 < len(before) < 40
    with out.open("a") as file:
        file.write('{"image": "half')
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = rows_of(out)
    assert rows[: len(before)] == before
    assert sorted(row["image"] for row in rows) == sorted(names_of(folder))
    assert f"40 pictures, {len(before)} of them answered before" in done.stderr
    assert "40/40" not in done.stderr and "\r" not in done.stderr  # plain lines, of what was left
    assert f"predict: {40 - len(before)}/{40 - len(before)}," in done.stderr


def test_pictures_that_failed_before_are_told_and_tried_again_without_their_rows(
    tiny_base_dir, folder, tmp_path, capsys
):
    """They were counted as answered, and the picture that had been missing was never read."""
    out, listed = tmp_path / "answers.jsonl", tmp_path / "list.txt"
    listed.write_text(f"{folder}/00.PNG\n{folder}/later.png\n")
    assert run(tiny_base_dir, listed, out) == 0
    (folder / "later.png").write_bytes(png(formula_picture(77)))
    assert run(tiny_base_dir, listed, out) == 0
    assert (
        "2 of them answered before (1 with an error: remove its row to have it tried again)" in capsys.readouterr().err
    )
    out.write_text("".join(line for line in out.read_text().splitlines(True) if '"error"' not in line))
    assert run(tiny_base_dir, listed, out) == 0
    assert ["latex" in row for row in rows_of(out)] == [True, True]


def test_pictures_that_came_later_are_added(tiny_base_dir, folder, tmp_path):
    out = tmp_path / "answers.jsonl"
    assert run(tiny_base_dir, folder, out) == 0
    (folder / "0-first.png").write_bytes(png(formula_picture(77)))
    assert run(tiny_base_dir, folder, out) == 0
    assert rows_of(out)[-1]["image"] == "0-first.png" and len(rows_of(out)) == 41


@pytest.mark.parametrize(
    "content", ["no answers", "no answers\n", '{"latex": "x"}\n', "[1]\n", '{"image": "a.png"}\n{\n']
)
def test_a_file_that_holds_something_else_is_left_alone(tiny_base_dir, folder, tmp_path, capsys, content):
    out = tmp_path / "precious.txt"
    out.write_text(content)
    assert run(tiny_base_dir, folder, out) == 2
    assert out.read_text() == content
    assert "is no row of answers" in capsys.readouterr().err


def test_the_manifest_is_not_taken_for_the_answers(tiny_base_dir, tmp_path, capsys):
    manifest = tmp_path / "list.jsonl"
    manifest.write_text('{"image": "a.png"}')
    assert run(tiny_base_dir, manifest, manifest) == 2
    assert manifest.read_text() == '{"image": "a.png"}'


def test_answers_of_two_models_are_not_mixed(own_base_dir, folder, tmp_path, capsys):
    out = tmp_path / "answers.jsonl"
    assert run(own_base_dir, folder / "00.PNG", out) == 0
    path = own_base_dir / "model" / "model.json"
    path.write_text(path.read_text().replace("tiny-1", "tiny-2"))
    assert run(own_base_dir, folder, out) == 2
    assert "answers of the model tiny-1, this is tiny-2" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["model", "pictures", "empty"])
def test_what_is_missing_is_named(tiny_base_dir, folder, tmp_path, capsys, missing):
    (tmp_path / "empty").mkdir()
    base = tmp_path if missing == "model" else tiny_base_dir
    pictures = {"model": folder, "pictures": tmp_path / "nowhere", "empty": tmp_path / "empty"}[missing]
    assert run(base, pictures, tmp_path / "answers.jsonl") == 2
    said = capsys.readouterr().err
    assert said.startswith("predict: ") and str(tmp_path) in said and "Traceback" not in said


def test_a_picture_that_breaks_the_model_spoils_no_other(own_base_dir, folder, tmp_path):
    fail_for_narrow(own_base_dir)
    assert run(own_base_dir, folder, tmp_path / "answers.jsonl") == 0
    rows = {row["image"]: row for row in rows_of(tmp_path / "answers.jsonl")}
    narrow = {
        f"more/{n:02d}.png" if n % 2 else f"{n:02d}.PNG" for n in range(40) if formula_picture(n).shape[1] < NARROW
    }
    assert narrow and {name for name, row in rows.items() if "error" in row} == narrow
    assert {rows[name]["error"]["code"] for name in narrow} == {"recognition_failed"}


@pytest.mark.parametrize(("result", "answer"), [("'{\"a\": 1}'", {"a": 1}), ("b'x^2'", "x^2")])
def test_a_models_own_functions_answer(own_base_dir, folder, tmp_path, result, answer):
    replace_handler(
        own_base_dir,
        f"def model_fn(model_dir): ...\ndef transform_fn(model, body, content_type, accept): return {result}\n",
    )
    assert run(own_base_dir, folder, tmp_path / "answers.jsonl") == 0
    assert {json.dumps(row["answer"]) for row in rows_of(tmp_path / "answers.jsonl")} == {json.dumps(answer)}
