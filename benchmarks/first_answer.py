"""How long `exai stdio` takes to answer a client's handshake, its list of tools and its first call."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.calls import ROOT
from benchmarks.figures import keep, show

AIMS = {"initialize_p50_ms": 400.0, "tools_list_p50_ms": 400.0}
"""Codex waits about a second for both."""
PROTOCOL = "2025-11-25"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench first-answer", description=__doc__)
    parser.add_argument("--starts", type=int, default=20, help="how many processes (default 20)")
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "benchmarks/results/first_answer.json",
        help="where the result goes",
    )
    return parser.parse_args()


def _request(number: int, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _started(environ: Mapping[str, str], folder: str) -> dict[str, float]:
    """Start one process, and measure from there to each answer, in milliseconds."""
    client = {"name": "bench", "version": "1"}
    steps = {
        "initialize": {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client},
        "tools/list": {},
        "tools/call": {"name": "models", "arguments": {}},
    }
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "exai.cli", "stdio", "--demo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environ},
        cwd=folder,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        taken = {}
        for number, (method, params) in enumerate(steps.items(), 1):
            process.stdin.write(json.dumps(_request(number, method, params)).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["id"] == number
            assert "result" in answer
            taken[method] = (time.perf_counter() - began) * 1000
            if method == "initialize":
                process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        process.stdin.close()
        process.wait()
    return taken


def _figures(runs: list[dict[str, float]]) -> dict[str, float]:
    figures: dict[str, float] = {"starts": len(runs)}
    for method, name in (
        ("initialize", "initialize"),
        ("tools/list", "tools_list"),
        ("tools/call", "first_call"),
    ):
        times = sorted(run[method] for run in runs)
        figures[f"{name}_p50_ms"] = round(statistics.median(times))
        figures[f"{name}_max_ms"] = round(times[-1])
    return figures


def main() -> None:
    options = _arguments()
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as folder:
        inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        environ = {
            **inherited,
            "HOME": folder,
            "EXAI_DATA_DIR": f"{folder}/data",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        _started(environ, folder)  # makes the database, and the compiled modules
        runs = [_started(environ, folder) for _ in range(options.starts)]
    figures = _figures(runs)
    show(figures, AIMS)
    keep(figures, options.json)


if __name__ == "__main__":
    main()
