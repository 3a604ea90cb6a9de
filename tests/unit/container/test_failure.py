"""The text of /opt/ml/output/failure, from stderr as scripts, launchers and the toolkit write it (T9)."""

import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.train import failure

PLAIN = """\
some warning
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    main()
  File "train.py", line 2, in main
    raise ValueError("bad")
ValueError: bad
"""


def headline(stderr: str, code: int = 1, existing: str = "") -> str:
    return failure.compose(stderr, code, existing).splitlines()[0]


def test_exception_line_first_then_the_traceback_without_the_noise_before_it():
    text = failure.compose(PLAIN, 1)
    assert text.splitlines()[0] == "ValueError: bad"
    assert "some warning" not in text
    assert 'File "train.py", line 2, in main' in text


def test_error_line_right_before_the_traceback_is_the_headline():
    stderr = PLAIN.replace("some warning", "error: gt.txt line 4: no tab; separate name and label with one")
    assert headline(stderr) == "gt.txt line 4: no tab; separate name and label with one"


def test_error_line_long_before_the_end_is_not_the_cause():
    assert headline("error: harmless\nworking\n" + PLAIN) == "ValueError: bad"


def test_argparse_usage_error():
    assert headline("usage: train.py [-h]\ntrain.py: error: unrecognized arguments: --epochz 3\n", 2) == (
        "unrecognized arguments: --epochz 3"
    )


def test_chained_tracebacks_are_one_and_the_last_exception_counts():
    chained = PLAIN + (
        "\nThe above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "train.py", line 9, in <module>\n    run()\n'
        "RuntimeError: outer\n"
    )
    text = failure.compose(chained, 1)
    assert text.splitlines()[0] == "RuntimeError: outer"
    assert "ValueError: bad" in text


def test_message_of_several_lines_is_joined():
    stderr = (
        'Traceback (most recent call last):\n  File "t.py", line 1, in <module>\n    Config()\n'
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Config\nepochs\n"
        "  Input should be a valid integer [type=int_parsing]\n"
    )
    assert headline(stderr).endswith("for Config epochs Input should be a valid integer [type=int_parsing]")


def test_source_line_that_looks_like_an_exception_is_no_headline():
    stderr = 'Traceback (most recent call last):\n  File "t.py", line 1, in <module>\n    raise KeyError\nKeyError\n'
    assert headline(stderr) == "KeyError"


def test_under_torchrun_the_rank_that_failed_counts_not_the_summary_nor_the_lost_peer():
    lost = PLAIN.replace("ValueError: bad", "RuntimeError: Connection closed by peer [127.0.0.1]:1")
    summary = (
        "E1124 05:00:00.0 12 torch/distributed/elastic/api.py:1] failed (exitcode: 1)\n"
        'Traceback (most recent call last):\n  File "/bin/torchrun", line 8, in <module>\n    sys.exit(main())\n'
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n"
        "============================================================\nprogram.py FAILED\n"
    )
    assert headline(PLAIN + lost + summary) == "ValueError: bad"
    assert headline(lost + summary).startswith("another process of the job is gone, most likely on another host")
    assert headline(lost + summary).endswith("(RuntimeError: Connection closed by peer [127.0.0.1]:1)")
    assert headline(lost) == "RuntimeError: Connection closed by peer [127.0.0.1]:1"  # of no job of several processes


def test_under_torchrun_torch_marks_each_line_with_its_rank():
    failed, lost = PLAIN, PLAIN.replace("ValueError: bad", "RuntimeError: Connection closed by peer [127.0.0.1]:1")
    marked = [f"[rank{rank}]: {line}" for rank, text in enumerate((failed, lost)) for line in text.splitlines()]
    assert headline("\n".join(marked)) == "ValueError: bad"


def test_under_torchrun_a_rank_that_was_killed_counts_not_those_that_torchrun_ended():
    summary = (
        "program.py FAILED\nFailures:\n[1]:\n  rank      : 0 (local_rank: 0)\n  exitcode  : -15 (pid: 1)\n"
        "Root Cause (first observed failure):\n[0]:\n  rank      : 1 (local_rank: 1)\n  exitcode  : -9 (pid: 2)\n"
    )
    assert headline(summary).startswith("the training script was ended by SIGKILL")
    lost = PLAIN.replace("ValueError: bad", "RuntimeError: Connection closed by peer [127.0.0.1]:1")
    assert headline(lost + summary).startswith("the training script was ended by SIGKILL")
    assert headline(PLAIN + lost + summary) == "ValueError: bad"


@pytest.mark.parametrize("between", ["", "error: no tab"])
def test_under_torchrun_lines_of_two_ranks_that_ran_together_are_taken_apart(between):
    """With an unbuffered stderr, `print` writes a line and its end apart, and another rank may come between."""
    assert headline(f"error: line 4: no tab{between}\n\n", 1) == "line 4: no tab"
    assert headline("error: can't read it: ValueError: 4\n", 1) == "can't read it: ValueError: 4"


def said_by(program: str) -> str:
    """What Python itself writes to stderr, of a program that fails."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False).stderr


@pytest.mark.parametrize(
    "program",
    [
        """
        class Loader:
            def __del__(self): raise OSError("late")
        loader = Loader()
        """,
        """
        import atexit
        @atexit.register
        def close(): raise OSError("late")
        """,
        """
        import threading
        def work(): raise OSError("late")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
    ],
    ids=["__del__", "atexit", "thread"],
)
def test_what_ends_no_process_is_not_the_cause(program):
    program = textwrap.dedent(program)
    text = failure.compose(said_by(program + 'raise ValueError("bad")'), 1)
    assert text.startswith("ValueError: bad\n") and "late" not in text
    stated = "import sys\nprint('error: no tab', file=sys.stderr)\n"
    assert headline(said_by(stated + program + "sys.exit(1)")) == "no tab"
    assert headline(said_by(program)) == "OSError: late"  # better than nothing


def test_many_ignored_tracebacks_do_not_push_the_stated_error_out_of_sight():
    ignored = "Exception ignored in: <function Loader.__del__ at 0x7f>\n" + PLAIN.partition("\n")[2]
    assert headline("error: no tab\n" + ignored * 20) == "no tab"


def test_a_group_is_named_with_the_first_of_its_exceptions():
    group = 'raise ExceptionGroup("loading failed", [ValueError("row 17 is empty"), OSError("no file")])'
    text = failure.compose(said_by(group), 1)
    assert text.startswith("ExceptionGroup: loading failed (2 sub-exceptions): ValueError: row 17 is empty\n")
    assert "OSError: no file" in text
    caught = f"try: {group}\nexcept* OSError: raise RuntimeError('outer')"
    assert headline(said_by(caught)).endswith("(2 sub-exceptions): OSError: no file")
    table = PLAIN + "  | a | b\n"
    assert headline(table) == "ValueError: bad | a | b"
    chained = f"try: 1 / 0\nexcept ZeroDivisionError: {group}"
    assert "ZeroDivisionError" in failure.compose(said_by(chained), 1)
    assert headline(said_by(chained) + "last words") == headline(said_by(group))


def test_death_by_signal_names_it_and_says_what_to_do():
    assert headline("epoch 1\n", 137).startswith("the training script was ended by SIGKILL (most often the memory")
    assert "/dev/shm" in headline("", 128 + 7)


def test_reason_given_by_the_script_stays_in_front():
    assert failure.compose(PLAIN, 1, "my reason").startswith("my reason\n")


def test_the_toolkits_empty_message_is_dropped_and_its_own_crash_is_not():
    assert headline("", 3, 'ExecuteUserScriptError:\nExitCode 3\nErrorMessage ""') == (
        "the training script ended with exit code 3 and said nothing on stderr"
    )
    assert headline("", 1, f"Framework Error: \n{PLAIN}\nbad") == "ValueError: bad"


def test_long_output_keeps_the_end():
    text = failure.compose("x" * 100_000 + "\nlast words\n", 1)
    assert text.startswith("last words\n")
    assert len(text) < 20_000


def test_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "output" / "failure"
    failure.write(path, "a" * 100)
    failure.write(path, "b")
    assert path.read_text() == "b\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["failure"]


LINES = st.lists(
    st.sampled_from(
        [
            *PLAIN.splitlines(),
            failure.IGNORED,
            "  | E: x (1 sub-exception)",
            "  | E: x",
            "",
            " ",
            "error: x",
            *failure.CHAIN_MARKS,
            "\x00",
            "é",
        ]
    )
    | st.text(max_size=20),
    max_size=30,
)


@given(LINES, st.integers(1, 255), st.text(max_size=50))
def test_any_stderr_gives_a_first_line(lines, code, existing):
    text = failure.compose("\n".join(lines), code, existing)
    assert text.strip() or not existing.isprintable()


def test_a_second_interrupt_is_a_possible_reason():
    """train.py has a handler, which the first one meets."""
    for number, reason in ((130, "interrupted a second time"), (143, "stopped a second time")):
        assert reason in headline("epoch 1\n", number)
