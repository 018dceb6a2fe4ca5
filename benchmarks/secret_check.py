"""The secret check: how fast it goes over this project's files, what it finds there, and what of planted secrets.

The built-in list by itself, then with Kingfisher. Rates are of CPU, file by file and as one content.
"""

import argparse
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.calls import ROOT
from benchmarks.figures import keep
from exai.files.secrets.scanner import SecretScanner
from support.planted_secrets import BUILT_IN, FURTHER, planted

AIMS = {"built-in": 20, "with Kingfisher": 100}


def _mb_per_s(scanner: SecretScanner, contents: Sequence[bytes], runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        for content in contents:
            scanner.spans(content)
        best = min(best, time.process_time() - began)
    return round(sum(map(len, contents)) / best / 1e6)


def _measure(runs: int) -> dict[str, Any]:
    names = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, check=True, capture_output=True, text=True)
    contents = {name: (ROOT / name).read_bytes() for name in names.stdout.split("\0") if name}
    whole = b"\n".join(contents.values())
    secrets = {name: secret for name, (_, secret) in BUILT_IN.items()}
    result: dict[str, Any] = {
        "bytes": len(whole),
        "files": len(contents),
        "load": round(os.getloadavg()[0], 1),
    }
    for label, uses_kingfisher, wanted in (
        ("built-in", False, secrets),
        ("with Kingfisher", True, {**secrets, **FURTHER}),
    ):
        scanner = SecretScanner(uses_kingfisher=uses_kingfisher)
        scanner.spans(b"builds it")
        found = [name for name, secret in wanted.items() if scanner.spans(planted(name, secret))]
        result[label] = {
            "planted": len(wanted),
            "found": len(found),
            "false": [name for name, content in contents.items() if scanner.spans(content)],
            "mb_per_s_by_file": _mb_per_s(scanner, list(contents.values()), runs),
            "mb_per_s_as_one": _mb_per_s(scanner, [whole], runs),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench secret-check", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of which the best is shown (default 3)")
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "benchmarks/results/secret_check.json",
        help="where the result goes",
    )
    options = parser.parse_args()
    result = _measure(options.runs)
    print(f"{result['files']} files, {result['bytes'] / 1e6:.1f} MB, at a load of {result['load']}")
    for label, aim in AIMS.items():
        each = result[label]
        is_reached = min(each["mb_per_s_by_file"], each["mb_per_s_as_one"]) >= aim
        print(
            f"{label:<16} {each['mb_per_s_by_file']} MB/s file by file, {each['mb_per_s_as_one']} as one content, aim "
            f"{aim}: {'reached' if is_reached else 'missed'}; {each['found']} of {each['planted']} planted; "
            f"false: {each['false'] or 'none'}"
        )
    keep(result, options.json)


if __name__ == "__main__":
    main()
