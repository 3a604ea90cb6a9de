"""The serving benchmark: what wrk saw is read right, without wrk it says what to install; and the soak's verdict."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import inference
from bench import conditions, decoding, finetune, load, mix, peer, resolutions, serving, shards, soak, turning
from bench.stages import LENGTHS
from container.train.processes import descendants_of
from recognizer.latex import tokenize
from tests.support.handlers import burn
from tests.support.server import Server, free_port
from tests.support.tiny_model import build_tiny_model, formula_picture, png

SAW = """Running 10s test @ http://127.0.0.1:18181/invocations
  Non-2xx or 3xx responses: 7

{"seconds": 10.0, "answers": 127, "refused": 7, "unanswered": 3, "milliseconds": [50.0, 200.0, 300.0]}
"""


def test_servers_are_asked_for_ordinary_formulas(tmp_path, monkeypatch):
    """A model that reads every third one right, and wrong ones more surely."""
    monkeypatch.setattr(serving, "CANDIDATES", 9)
    monkeypatch.setattr(serving, "ASKED", 2)
    drawn = []

    def draw(formula, style):
        drawn.append(formula)
        return np.full((20, 40, 3), len(drawn), np.uint8), style

    class Model:
        def predict(self, pictures, options):
            return [self.answer(number, formula) for number, formula in enumerate(drawn)]

        def answer(self, number, formula):
            tokens = tuple(tokenize(formula)) if number % 3 == 0 else ("x",)
            return inference.Prediction("", tokens, 0.5 + number / 100, False, "")

    monkeypatch.setattr(serving, "render_any", draw)
    monkeypatch.setattr(serving.Recognizer, "load", lambda folder: Model())
    paths = serving.write_pictures(tmp_path, tmp_path / "bench")
    assert all(len(tokenize(formula)) in LENGTHS for formula in drawn)
    assert [inference.read_image(path.read_bytes()).max() for path in paths] == [7, 4], "right ones, the surest first"


def test_a_wrong_model_or_picture_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(serving.load, "find_wrk", lambda: "wrk")
    model = build_tiny_model(tmp_path / "model")
    for arguments, named in ((["--model", tmp_path], "no model directory"), (["--model", model], "no.png")):
        monkeypatch.setattr("sys.argv", ["serving", "--pictures", str(tmp_path / "no.png"), *map(str, arguments)])
        assert serving.main() == 1
        assert named in capsys.readouterr().err


def test_a_wrong_folder_is_told_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(decoding, "Bench", lambda folder: pytest.fail("it measures"))
    absent = str(tmp_path / "absent")
    for bench, arguments in (
        (decoding, ["--model", absent]),
        (shards, [absent]),
        (turning, ["--model", absent, "--data", absent]),
        (conditions, ["--model", absent, "--data", absent]),
        (peer, ["--model", absent, "--peer-python", sys.executable]),
        (peer, ["--model", str(build_tiny_model(tmp_path / "model")), "--peer-python", absent]),
    ):
        assert bench.main(arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith("bench: ") and "absent" in error


def test_a_peer_that_is_not_installed_is_told():
    with pytest.raises(peer.PeerError, match="latex-ocr-junia"), peer.peer_side(Path(sys.executable)):
        pytest.fail("it would be asked")


def test_formulas_to_compare_the_peer_on_are_short_and_from_the_whole_file(tmp_path):
    file = tmp_path / "formulas.txt"
    file.write_text("a\n" + "+".join("x" * 20) + "\nb\nc\nd\n")
    assert peer.known(file, 2) == ["a", "c"]
    assert peer.known(file, 9) == ["a", "b", "c", "d"]
    file.write_text("+".join("x" * 20))
    with pytest.raises(peer.PeerError, match=r"formulas\.txt has no formula of at most 25 tokens"):
        peer.known(file, 2)
    drawn = peer.write_pictures(tmp_path, ["a", "b"], "mathjax")
    assert {dpi: len(paths) for dpi, paths in drawn.items()} == dict.fromkeys(peer.DPI, 2)
    low, high = (len(inference.read_image(drawn[dpi][0].read_bytes())) for dpi in (72, 400))
    assert high > 4 * low


def test_what_wrk_saw():
    assert load.parse(SAW) == load.Load(12, (50, 200, 300), 10)


@pytest.mark.parametrize(
    "said",
    [
        "unable to connect to 127.0.0.1:1 Connection refused",
        SAW.replace("127,", "0,"),
        SAW.replace('"refused": 7', '"refused": 127'),
    ],
)
def test_no_answers(said):
    with pytest.raises(load.LoadError, match=r"no answers[^~]*127\.0\.0\.1"):
        load.parse(said)


@pytest.mark.skipif(not shutil.which("wrk"), reason="needs wrk")
def test_pictures_are_asked_for_in_turn(tiny_server, tmp_path):
    """Every second one is no picture: half of the answers are errors."""
    (tmp_path / "good.png").write_bytes(png(formula_picture()))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    url = f"http://127.0.0.1:{tiny_server.port}"

    seen = load.result(load.start(f"{url}/invocations", 1, 2, [tmp_path / "good.png", tmp_path / "bad.png"]))
    pinged = load.result(load.start(f"{url}/ping", 1, 1, pause=100))

    assert seen.errors == pytest.approx(seen.rate, rel=0.3) and seen.rate > 2
    assert 0 < seen.milliseconds[0] <= seen.milliseconds[2]
    assert 5 <= pinged.rate <= 11 and not pinged.errors


def test_the_table_compares_with_the_bare_model_in_as_many_processes_and_with_the_last_row():
    ping = load.Load(1, (1, 2, 4.5), 0)
    rows = [
        serving.Row("bare", load.Load(40, (1, 2, 3), 0), None, 1.5, 1),
        serving.Row("bare-2", load.Load(60, (1, 2, 3), 0), None, 1.5, 2),
        serving.Row("ours", load.Load(30, (1, 2, 3), 0), ping, 2.5, 1),
        serving.Row("ours-2", load.Load(45, (1, 2, 3), 0), ping, 2.5, 2),
        serving.Row("usual", load.Load(15, (1, 2, 3), 5), ping, 7.5, 2),
    ]
    ratios = {line.split()[0]: line.split()[2:4] for line in serving.table(rows).splitlines()[1:]}
    assert ratios["bare"] == ["1.00", "2.67"] and ratios["ours"] == ["0.75", "2.00"]
    assert ratios["bare-2"] == ["1.00", "4.00"] and ratios["ours-2"] == ["0.75", "3.00"]
    assert ratios["usual"] == ["0.25", "1.00"] and serving.table(rows).endswith("4.5")


def test_processor_time_of_a_process_tree():
    """What a child has computed counts; what it slept doesn't."""
    grandchild = "import time; [None for _ in iter(lambda: time.process_time() < 0.25, False)]; print(); time.sleep(60)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        spent = serving.processor_seconds(process.pid)
        for below in descendants_of(process.pid):
            os.kill(below.pid, signal.SIGKILL)
    assert spent >= 0.2  # it is counted in hundredths of a second


def test_a_server_is_idle_when_it_computes_no_more(monkeypatch):
    busy = "import time\nwhile time.process_time() < {seconds}: pass\nprint(flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", busy.format(seconds=1)], stdout=subprocess.PIPE) as process:
        serving.wait_until_idle(process.pid)
        assert process.stdout and select.select([process.stdout], [], [], 0)[0]
        process.kill()
    monkeypatch.setattr(serving, "START_SECONDS", 2)
    with subprocess.Popen([sys.executable, "-c", busy.format(seconds=60)]) as process:
        with pytest.raises(load.LoadError, match="still at work 2 s after"):
            serving.wait_until_idle(process.pid)
        process.kill()


@pytest.mark.skipif(not shutil.which("wrk"), reason="needs wrk")
def test_what_the_warm_up_leaves_behind_takes_no_place(own_base_dir, tmp_path):
    """As many clients as the server has room for; one that met those of the warm-up would be refused."""
    (tmp_path / "good.png").write_bytes(png(formula_picture()))
    burn(own_base_dir, 0.3)
    with Server(own_base_dir, {"SERVE_QUEUE_SIZE": "6", "SAGEMAKER_TS_BATCH_SIZE": "1"}) as server:
        pid = server.wait_until_ready().process.pid
        row = serving.ask("ours", pid, server.port, [tmp_path / "good.png"], 6, 2, 1)
    assert row.load.rate > 0 and row.load.errors == 0


def test_another_server_is_not_measured(tiny_server):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    is_refused = pytest.raises(load.LoadError, match=f"port {tiny_server.port} is taken")
    with is_refused, serving.running(command, tiny_server.port, {}):
        pytest.fail("it would be measured")


def test_a_job_does_not_outlive_the_one_beside_it():
    codes = ("import time; time.sleep(60)", "raise SystemExit(3)")
    lasting, failing = (subprocess.Popen([sys.executable, "-c", code]) for code in codes)
    said = finetune.failures({"from scratch": lasting, "fine-tuned": failing})
    assert said == ["the job 'fine-tuned' failed with status 3"]
    assert lasting.poll() == -signal.SIGTERM


def test_without_wrk_it_says_what_to_install():
    command = [sys.executable, "-c", "from bench import serving; raise SystemExit(serving.main())"]
    done = subprocess.run(
        command, env={"PATH": "", "PYTHONPATH": ".:code"}, cwd=serving.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "apt-get install wrk" in done.stderr and "Traceback" not in done.stderr


KINDS = {
    "picture": {"ok"},
    "json": {"ok"},
    "lines": {"ok"},
    "stream": {"ok"},
    "bad": {"undecodable_image", "empty_body", "invalid_json", "unsupported_content_type", "no_picture"},
    "hang up": {"hung up"},
}


def test_every_kind_of_a_soaks_requests(tiny_server):
    """Over one connection, which a hang-up doesn't end: the seeds draw each variant of a kind."""
    picture = png(formula_picture())
    for kind, codes in KINDS.items():
        seen = set()
        for seed in range(30):
            client = mix.Client(tiny_server.port, [picture], seed)
            seen.add(client.ask(kind).code)
            client.close()
        assert seen == codes, kind
    assert set(KINDS) == set(mix.WEIGHTS)


def test_a_client_counts_a_server_that_is_not_there():
    outcome = mix.Client(free_port(), [b""], 0).ask("picture")
    assert outcome.code == "ConnectionRefusedError"


def test_growth_is_measured_after_the_warm_up():
    warming = [10 * step for step in range(20)]
    assert soak.growth_percent([*warming, *[200] * 80]) == 0
    assert soak.growth_percent([*warming, *[200] * 40, *[300] * 40]) == 50
    with pytest.raises(load.LoadError, match="too few"):
        soak.growth_percent([1] * 9)


def test_a_line_of_the_soak():
    outcomes = [mix.Outcome("picture", "ok", 0.1)] * 98 + [mix.Outcome("bad", "invalid_json", 0.3)] * 2
    outcomes += [mix.Outcome("hang up", "hung up", 9.0)] * 20
    words = soak.line(3, outcomes, 60, 300 * 2**20).split()
    assert words[:5] == ["3.0", "2.0", "100.0", "300.0", "300.0"]
    assert "hung up=20" in soak.line(3, outcomes, 60, 0) and "invalid_json=2" in words


def test_the_memory_of_a_process_tree():
    """A child's memory counts with its parent's."""
    grandchild = "x = bytearray(50 << 20); print('there', flush=True); import sys; sys.stdin.read()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    command = [sys.executable, "-c", child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"there\n"
        assert soak.resident_bytes(process.pid) > 50 << 20
        assert process.stdin
        process.stdin.close()
    assert soak.resident_bytes(process.pid) == 0


def test_well_known_formulas_are_drawn_at_each_resolution_and_counted_when_read_right(monkeypatch, capsys, tmp_path):
    formulas = ["x^2", r"\frac{1}{2}", "a+b"]
    (tmp_path / "formulas.txt").write_text("\n".join(formulas))

    class Model:
        def predict(self, pictures):
            self.sizes = [picture.shape for picture in pictures]
            return [inference.Prediction(latex, (), 1.0, False, "") for latex in ("x^{2}", r"\frac{1}{3}", "a+b")]

    model = Model()
    monkeypatch.setattr(resolutions, "FORMULAS", tmp_path / "formulas.txt")
    monkeypatch.setattr(resolutions.Recognizer, "load", lambda *_, **__: model)
    assert resolutions.main(["--model", str(tmp_path), "--show"]) == 0
    said = capsys.readouterr().out
    assert "| mathjax | 66.7% | 66.7%" in said and r"mathjax, 72 dpi, wrong: \frac{1}{2}" in said
    small = [resolutions.pictures(formulas, "mathjax", dpi)[0].shape[0] for dpi in (100, 200)]
    assert small[1] == pytest.approx(2 * small[0], abs=3) and model.sizes[0][0] == pytest.approx(4 * small[0], abs=5)
