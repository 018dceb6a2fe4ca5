"""How the command leaves, in real processes: codes, sentences, and nothing else on either stream."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exai.cli.command_group import SUMMARIES
from exai.runtime.version import __version__
from support.daemons import NO_KEYRING

RunExai = Callable[..., subprocess.CompletedProcess[str]]

INTERRUPTED = """
import os, signal, sys
from exai import cli
from exai.cli.commands import config

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored

def interrupted(*arguments, **named):
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()

config.load_settings = interrupted
sys.argv = ["exai", "config"]
cli.main()
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **NO_KEYRING}


@pytest.fixture
def exai(tmp_path: Path, environ: dict[str, str]) -> RunExai:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "exai.cli", *arguments],
            env={**environ, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("arguments", [["--version"], ["version"]])
def test_the_version_is_printed(exai: RunExai, arguments: list[str]) -> None:
    ended = exai(*arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"exai {__version__}\n", "")


def test_help_names_every_command(exai: RunExai) -> None:
    ended = exai("--help")
    assert ended.returncode == 0
    for command in SUMMARIES:
        assert f"\n  {command} " in ended.stdout


def test_a_mistyped_command_is_answered_with_the_nearest_one(exai: RunExai) -> None:
    ended = exai("modles")
    assert ended.returncode == 2
    assert "Did you mean 'models'?" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["--set", "server.prot=1"], {}, "server.port"),
        (["--set", "server.port=canary"], {}, "a whole number"),
        (["--config", "none.toml"], {}, "does not exist"),
        ([], {"EXAI_SERVER__PROT": "canary"}, "EXAI_SERVER__PORT"),
        ([], {"GLM_API_KEY": "canary"}, "GLM_API_KEY"),
        ([], {"KIMI_API_KEY": "${KIMI_API_KEY}"}, "KIMI_API_KEY"),
        ([], {"EXAI_SERVER__HOST": "0.0.0.0"}, "server.host"),
    ],
)
def test_a_fault_at_start_is_one_sentence_and_code_2(
    exai: RunExai, arguments: list[str], variables: dict[str, str], says: str
) -> None:
    ended = exai("config", *arguments, **variables)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("exai: ")
    assert ended.stderr.count("\n") == 1
    assert says in ended.stderr
    assert "canary" not in ended.stderr


@pytest.mark.parametrize("arguments", [["nothing"], ["config", "--nothing"]])
def test_words_that_are_no_command_are_code_2_without_a_traceback(
    exai: RunExai, arguments: list[str]
) -> None:
    ended = exai(*arguments)
    assert ended.returncode == 2
    assert "nothing" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_interrupt_is_quiet_and_code_130(tmp_path: Path, environ: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.SIGINT, "", "")


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path, environ: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "exai.cli", "config"],
            env=environ,
            cwd=tmp_path,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_help_loads_none_of_the_heavy_libraries(tmp_path: Path, environ: dict[str, str]) -> None:
    heavy = "aiohttp alembic mcp msgspec pydantic rich sqlalchemy starlette structlog uvicorn websockets"
    code = f"""
import sys, exai.cli
try:
    exai.cli.main()
except SystemExit:
    print([name for name in {heavy.split()} if name in sys.modules])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.startswith("Usage: exai")
    assert ended.stdout.endswith("\n[]\n")
