"""What a stored file costs: upload, download, and asking by SHA-256, beside what does less on the same core.

The daemon runs on one core with everything on, the client on the other. An upload is compared with one thread that
receives, hashes, writes and flushes; a download with reading and hashing alone; `cp` and `sha256sum` stand beside.
All of them take turns, each figure is the median.
"""

import argparse
import hashlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.blocking_receiver import read_and_hash
from benchmarks.calls import ROOT, first_line, pin, process
from benchmarks.figures import keep
from benchmarks.raw_sessions import daemon

SAMPLE_S = 0.01
LOOKS = 500


@dataclass
class Measured:
    """What one kind of run has shown, run by run."""

    mb_per_s: list[float] = field(default_factory=list)
    cpu_s_per_gb: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    loop_late_ms: list[float] = field(default_factory=list)
    loop_blocked_ms: list[float] = field(default_factory=list)


class Daemon:
    """The daemon as a client with one blocking socket sees it."""

    def __init__(self, running: subprocess.Popen[str], addresses: dict[str, str]) -> None:
        self.process = psutil.Process(running.pid)
        self._operations = addresses["operations"]
        self._place = urlsplit(addresses["mcp_http"])
        self.start_bytes = self.process.memory_info().rss

    def connect(self) -> socket.socket:
        return socket.create_connection((str(self._place.hostname), int(self._place.port or 0)))

    def loop_late_ms(self) -> tuple[float, float]:
        """The worst lag of the loop since this was asked for last, and the worst without waiting for a core."""
        with urllib.request.urlopen(f"{self._operations}/metrics") as answer:
            metrics = answer.read().decode()
        found = re.findall(r"^exai_loop_(?:lag|blocked)_seconds ([0-9.e+-]+)$", metrics, re.MULTILINE)
        late, blocked = (float(each) * 1000 for each in found)
        return late, blocked

    @contextmanager
    def measured(self, size: int, into: Measured) -> Iterator[None]:
        """Measure what runs in this scope."""
        self.loop_late_ms()
        with _peak(self.process) as peak:
            cpu, began = _cpu_s(self.process), time.perf_counter()
            yield
            took, used = time.perf_counter() - began, _cpu_s(self.process) - cpu
        into.mb_per_s.append(size / took / 1e6)
        into.cpu_s_per_gb.append(used / size * 1e9)
        into.memory_mib.append((peak[0] - self.start_bytes) / 2**20)
        late, blocked = self.loop_late_ms()
        into.loop_late_ms.append(late)
        into.loop_blocked_ms.append(blocked)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _peak(process: psutil.Process) -> Iterator[list[int]]:
    """The most memory that a process takes in this scope, by samples."""
    peak, ended = [process.memory_info().rss], threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


class Client:
    """Sends and reads over blocking sockets."""

    def __init__(self, daemon: Daemon, content: bytearray) -> None:
        self.daemon = daemon
        self.content = content
        self._number = 0

    def fresh(self) -> str:
        """Make the content one that nobody has; its digest."""
        self._number += 1
        self.content[:8] = self._number.to_bytes(8, "big")
        return hashlib.sha256(self.content).hexdigest()

    def put(self, digest: str, connection: socket.socket) -> bytes:
        """Send it; the answer's body."""
        head = f"PUT /files/sha256/{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(self.content)}\r\n\r\n"
        with connection:
            connection.sendall(head.encode())
            connection.sendall(self.content)
            status, body = _answer(connection)
        assert status == 201, (status, body)
        return body

    def get(self, file_id: str) -> int:
        """Read a file and keep nothing; how many bytes came behind the header's end."""
        view = memoryview(bytearray(2**20))
        with self.daemon.connect() as connection:
            connection.sendall(f"GET /files/{file_id}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65_536)
            came = len(head.partition(b"\r\n\r\n")[2])
            while came < len(self.content):
                size = connection.recv_into(view)
                if not size:
                    break
                came += size
        return came

    def look(self, digest: str, expected: int) -> list[float]:
        """Ask many times over one connection; each time's milliseconds."""
        request = f"HEAD /files/sha256/{digest} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        times = []
        with self.daemon.connect() as connection:
            for _ in range(LOOKS):
                began = time.perf_counter()
                connection.sendall(request)
                answer = b""
                while not answer.endswith(b"\r\n\r\n"):
                    answer += connection.recv(65_536)
                times.append((time.perf_counter() - began) * 1000)
                assert answer.startswith(f"HTTP/1.1 {expected}".encode()), answer
        return times


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65_536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length is not None and len(body) < int(length[1]):
        body += connection.recv(65_536)
    return int(head.split()[1]), body


def _on_the_daemons_core(work: Callable[[], float]) -> float:
    """Run what is compared in this process, on the core of the daemon."""
    pin(0)
    try:
        return work()
    finally:
        pin(1)


def _seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _measure(folder: Path, size: int, runs: int) -> dict[str, object]:
    """Let every kind of run take its turn."""
    kinds = ("blocking receiver", "read and hash", "cp", "sha256sum")
    beside: dict[str, list[float]] = {name: [] for name in kinds}
    upload, download = Measured(), Measured()
    receiver_folder = folder / "receiver"
    receiver_folder.mkdir()
    command = [sys.executable, str(ROOT / "benchmarks/blocking_receiver.py")]
    with daemon(str(folder / "data")) as (running, addresses), _receiver(command, receiver_folder) as port:
        content = bytearray(os.urandom(2**20) * (size // 2**20))
        client = Client(Daemon(running, addresses), content)
        for _ in range(runs):
            digest = client.fresh()
            with client.daemon.measured(size, upload):
                entry = json.loads(client.put(digest, client.daemon.connect()))
            began = time.perf_counter()
            client.put(digest, socket.create_connection(("127.0.0.1", port)))
            beside["blocking receiver"].append(size / (time.perf_counter() - began) / 1e6)
            file = receiver_folder / digest
            with client.daemon.measured(size, download):
                assert client.get(entry["id"]) == size
            alone = {
                "read and hash": lambda file=file: read_and_hash(file),
                "cp": lambda file=file: _seconds("cp", str(file), f"{file}.copy"),
                "sha256sum": lambda file=file: _seconds("sha256sum", str(file)),
            }
            for name, work in alone.items():
                beside[name].append(size / _on_the_daemons_core(work) / 1e6)
            _remove(addresses, entry["id"])
            for left in receiver_folder.iterdir():
                left.unlink()
        hit, miss = _looks(client)
    return {
        "bytes": size,
        "upload": _medians(upload),
        "download": _medians(download),
        "beside_mb_per_s": {name: round(statistics.median(rates), 1) for name, rates in beside.items()},
        "look_ms": {"hit": hit, "miss": miss},
    }


def _looks(client: Client) -> tuple[dict[str, float], dict[str, float]]:
    client.content = bytearray(os.urandom(1000))
    digest = client.fresh()
    client.put(digest, client.daemon.connect())
    found = []
    for wanted, expected in ((digest, 200), ("0" * 64, 404)):
        times = sorted(client.look(wanted, expected))
        found.append({"p50": round(times[LOOKS // 2], 3), "p99": round(times[LOOKS * 99 // 100], 3)})
    return found[0], found[1]


@contextmanager
def _receiver(command: list[str], folder: Path) -> Iterator[int]:
    with process(["env", "-C", str(folder), *command], core=0) as running:
        yield int(first_line(running))


def _remove(addresses: dict[str, str], file_id: str) -> None:
    url = f"{addresses['mcp_http'].removesuffix('/mcp')}/files/{file_id}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()


def _medians(measured: Measured) -> dict[str, float]:
    return {
        "mb_per_s": round(statistics.median(measured.mb_per_s), 1),
        "cpu_s_per_gb": round(statistics.median(measured.cpu_s_per_gb), 2),
        "memory_mib_above_start": round(max(measured.memory_mib), 1),
        "loop_late_ms": round(max(measured.loop_late_ms), 1),
        "loop_blocked_ms": round(max(measured.loop_blocked_ms), 1),
    }


def _figures(result: dict[str, object]) -> list[tuple[str, float, str, float, bool]]:
    """Each figure: its name, value, unit, aim, and whether more is better."""
    up, down, beside, look = (result[name] for name in ("upload", "download", "beside_mb_per_s", "look_ms"))
    assert isinstance(up, dict)
    assert isinstance(down, dict)
    assert isinstance(beside, dict)
    assert isinstance(look, dict)
    return [
        ("upload / blocking receiver", up["mb_per_s"] / beside["blocking receiver"] * 100, "%", 50, True),
        ("upload: CPU", up["cpu_s_per_gb"], "s/GB", 2.2, False),
        ("upload: memory above start", up["memory_mib_above_start"], "MiB", 32, False),
        ("upload: loop blocked, worst", up["loop_blocked_ms"], "ms", 10, False),
        ("download / reading and hashing", down["mb_per_s"] / beside["read and hash"] * 100, "%", 60, True),
        ("download: memory above start", down["memory_mib_above_start"], "MiB", 16, False),
        ("HEAD of what one has, p50", look["hit"]["p50"], "ms", 2, False),
        ("HEAD of what one has not, p50", look["miss"]["p50"], "ms", 2, False),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench files", description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="size of the file (default 512)")
    parser.add_argument("--runs", type=int, default=5, help="of each kind, in turns (default 5)")
    parser.add_argument("--folder", type=Path, help="where the store is put (default: a temporary one)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/files.json", help="where the result goes"
    )
    options = parser.parse_args()
    pin(1)
    with tempfile.TemporaryDirectory(prefix="exai-bench-", dir=options.folder) as folder:
        result = _measure(Path(folder), options.mib * 2**20, options.runs)
    for kind in ("upload", "download"):
        print(f"{kind}: {result[kind]}")
    print(f"beside, MB/s: {result['beside_mb_per_s']}\n")
    for name, value, unit, aim, is_more_better in _figures(result):
        is_reached = value >= aim if is_more_better else value <= aim
        bound = "least" if is_more_better else "most"
        print(
            f"{name:<32} {value:8.2f} {unit:<5} aim at {bound} {aim:g}: {'reached' if is_reached else 'missed'}"
        )
    keep(result, options.json)


if __name__ == "__main__":
    main()
