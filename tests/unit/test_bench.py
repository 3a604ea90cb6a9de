"""The serving benchmark: hey's summary is read right, and without hey it says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench import load, serving

SUMMARY = """
Summary:
  Total:	10.0000 secs
  Slowest:	0.9000 secs

Latency distribution:
  10% in 0.0100 secs
  50% in 0.0500 secs
  95% in 0.2000 secs
  99% in 0.3000 secs

Status code distribution:
  [200]	120 responses
  [503]	7 responses

Error distribution:
  [3]	Post "http://127.0.0.1:18181/invocations": EOF
"""


def test_a_summary():
    seen = load.parse(SUMMARY)
    assert (seen.rate, seen.errors) == (12, 10)
    assert seen.milliseconds == pytest.approx((50, 200, 300))


def test_a_handful_of_answers_has_no_high_percentiles():
    few = SUMMARY.replace("  95% in 0.2000", "  0% in 0.0000").replace("  99% in 0.3000", "  0% in 0.0000")
    assert load.parse(few).milliseconds == pytest.approx((50, 900, 900))


def test_no_answers():
    with pytest.raises(load.LoadError, match="connection refused"):
        load.parse("Error distribution:\n  [100]\tdial tcp: connection refused")


def test_the_table_compares_with_the_last_row():
    rows = [
        serving.Row("ours", load.Load(30, (1, 2, 3), 0), load.Load(1, (1, 2, 4.5), 0)),
        serving.Row("usual", load.Load(10, (1, 2, 3), 5), None),
    ]
    ours, usual = serving.table(rows).splitlines()[1:]
    assert "3.00" in ours and ours.endswith("4.5")
    assert "1.00" in usual


def test_without_hey_it_says_what_to_install():
    command = [sys.executable, "-c", "from bench import serving; raise SystemExit(serving.main())"]
    done = subprocess.run(
        command, env={"PATH": "", "PYTHONPATH": ".:code"}, cwd=serving.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "apt-get install hey" in done.stderr and "Traceback" not in done.stderr
