"""Command line of the doctor. Exit code 1 if something is broken; warnings alone give 0."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from container.doctor import machine, packages


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every check, print the findings (`--json`: as a JSON list), return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m container.doctor", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON list")
    options = parser.parse_args(arguments)
    findings = [*packages.check(), *machine.check()]
    if options.json:
        print(json.dumps([finding.to_dict() for finding in findings], indent=2))
    else:
        print("\n".join(str(finding) for finding in findings))
    return int(any(finding.status == "failure" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
