"""`exai`, or a program of tests, as a process of its own, without its imports anew: they cost more than most tests.

A Python that has imported EXAI waits behind a socket, this file as a program. For each order it forks; the
fork takes the order's environment, folder and pipes, and runs the module from its first line to its exit.
Tests of how a command starts run it by `daemons.EXAI`, as users do.
"""

import asyncio
import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from exai.runtime.start.imports import lean_imports

__all__ = ["Fork", "fork"]

IMPORTED = (
    "exai.cli.commands.serve",
    "exai.cli.commands.stdio",
    "exai.cli.stdio_engine",
    "alembic.command",
    "anyio._backends._asyncio",
    "encodings.idna",
    "uvicorn.lifespan.off",
    "uvloop",
)
DONE_ONCE = (
    ("exai.app.faults.release", "running_release"),
    ("checks.opening", "unserved_registry"),
    ("exai.files.secrets.scanner", "kingfisher_scanner"),
)
"""What depends on the code alone, and is kept by the process that did it: the release, the schemas of tools, the
rules of secrets."""
TESTS = Path(__file__).parents[1]
END_TIMEOUT_S = 30
MAX_ORDER = 2**20
MAX_LINE = 2**24


class Fork:
    """A process: what tests use of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdin: asyncio.StreamWriter, stdout: "_Pipe", ended: "_Pipe") -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout.reader
        self._pipes = stdout, ended
        self._ended = asyncio.ensure_future(ended.reader.read())

    @property
    def returncode(self) -> int | None:
        """Negative for the signal that ended it."""
        return int(self._ended.result()) if self._ended.done() else None

    async def wait(self) -> int:
        """Until it has ended; how it did."""
        code = int(await asyncio.shield(self._ended))
        self.stdin.close()
        for pipe in self._pipes:
            pipe.transport.close()
        return code

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Pipe:
    """The reading end of a pipe."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.reader = reader
        self.transport = transport

    @classmethod
    async def open(cls) -> tuple["_Pipe", int]:
        """The pipe, and its writing end."""
        reading, writing = os.pipe()
        reader = asyncio.StreamReader(MAX_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
        )
        return cls(reader, transport), writing


async def fork(module: str, *arguments: str, env: Mapping[str, str], cwd: Path, stderr: IO[bytes]) -> Fork:
    """Start `python -m module` with these arguments."""
    stdin_end, stdin = await _writer()
    stdout, stdout_end = await _Pipe.open()
    ended, ended_end = await _Pipe.open()
    line = _line()
    order = {"module": module, "arguments": arguments, "environ": dict(env), "cwd": str(cwd)}
    text = json.dumps(order).encode() + b"\n"
    socket.send_fds(line, [text], [stdin_end, stdout_end, stderr.fileno(), ended_end])
    for end in (stdin_end, stdout_end, ended_end):
        os.close(end)
    return Fork(int(_told(line)), stdin, stdout, ended)


async def _writer() -> tuple[int, asyncio.StreamWriter]:
    """The reading end of a pipe, and what writes to the other."""
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(writing, "wb", buffering=0)
    )
    return reading, asyncio.StreamWriter(transport, protocol, None, loop)


@functools.cache
def _line() -> socket.socket:
    """Start the program, and return the socket that takes its orders."""
    ours, theirs = socket.socketpair()
    with theirs:
        program = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    atexit.register(_end, ours, program)
    _told(ours)
    return ours


def _end(line: socket.socket, program: "subprocess.Popen[bytes]") -> None:
    """Let the program end, and wait for it."""
    line.close()
    program.wait(END_TIMEOUT_S)


def _told(line: socket.socket) -> bytes:
    text = line.recv(100)
    assert text, "the Python that forks has ended; its own lines above say why"
    return text


class _Program:
    """The other side."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._endings: dict[int, int] = {}
        """By process, the pipe that is told how it ended."""
        self._woken, self._waker = socket.socketpair()

    def run(self) -> dict[str, Any] | None:
        """Fork for each order. Returns the order in a fork, and `None` once none can come."""
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._line.send(b"ready")
        while True:
            readable, _, _ = select.select([self._line, self._woken], [], [])
            if self._woken in readable:
                self._woken.recv(4096)
                self._tell_endings()
            if self._line in readable:
                text, pipes, _, _ = socket.recv_fds(self._line, MAX_ORDER, 4)
                if not text:
                    return None
                while not text.endswith(b"\n"):
                    text += self._line.recv(MAX_ORDER)
                if (pid := os.fork()) == 0:
                    order: dict[str, Any] = json.loads(text)
                    self._become(order, pipes)
                    return order
                *streams, self._endings[pid] = pipes
                for stream in streams:
                    os.close(stream)
                self._line.send(str(pid).encode())

    def _tell_endings(self) -> None:
        for pid in list(self._endings):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                pipe = self._endings.pop(pid)
                os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(pipe)

    def _become(self, order: dict[str, Any], pipes: Sequence[int]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run under `nohup`
        for number, pipe in enumerate(pipes[:3]):
            os.dup2(pipe, number)
        for pipe in (*pipes, *self._endings.values()):
            os.close(pipe)
        for each in (self._line, self._woken, self._waker):
            each.close()
        os.environ.clear()
        os.environ.update(order["environ"])
        os.chdir(order["cwd"])


def _main() -> None:
    sys.path.insert(0, str(TESTS.parent))
    with lean_imports():
        for module in IMPORTED:
            importlib.import_module(module)
        for module, function in DONE_ONCE:
            getattr(importlib.import_module(module), function)()
    gc.freeze()
    order = _Program(socket.socket(fileno=int(sys.argv[1]))).run()
    if order is not None:
        sys.argv = [order["module"], *order["arguments"]]
        sys.path.insert(0, str(TESTS))
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
