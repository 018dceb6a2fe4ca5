"""The units of systemd: what they say fits what EXAI reads, and systemd itself finds no fault with them."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from exai.config import Settings
from exai.config.secrets import SECRETS_FOLDER_VARIABLE
from exai.config.tree import rows
from exai.transports.listener import BACKLOG, PORTS

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICE = UNITS / "exai.service"
MOST_EXPOSED = 15
"""Of `systemd-analyze security`, in tenths."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def _read(unit: Path) -> dict[str, list[str]]:
    """The values of each key; sections do not matter here."""
    found = defaultdict(list)
    for line in unit.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            found[match[1]].append(match[2])
    return found


def test_there_is_a_socket_for_every_port_at_its_default_place() -> None:
    server = Settings().server
    assert {path.name for path in UNITS.glob("*.socket")} == {f"exai-{name}.socket" for name in PORTS}
    for name, setting in PORTS.items():
        unit = _read(UNITS / f"exai-{name}.socket")
        port = getattr(server, setting.removeprefix("server."))
        assert unit["ListenStream"] == [f"{server.host}:{port}"]
        assert unit["FileDescriptorName"] == [name]
        assert unit["Service"] == [SERVICE.name]
        assert unit["Backlog"] == [str(BACKLOG)]


def test_the_service_takes_all_sockets_and_has_time_to_stop() -> None:
    unit = _read(SERVICE)
    sockets = {f"exai-{name}.socket" for name in PORTS}
    assert [set(each.split()) for each in unit["Sockets"]] == [sockets]
    assert sockets <= set(unit["Requires"][0].split())
    assert float(unit["TimeoutStopSec"][0]) > Settings().server.drain_s


def test_its_secrets_and_variables_are_ones_that_exai_reads() -> None:
    unit = _read(SERVICE)
    secrets = {row.key for row in rows() if row.secret}
    assert {each.partition(":")[0] for each in unit["LoadCredential"]} <= secrets
    names = {each.partition("=")[0] for each in unit["Environment"]}
    assert names == {SECRETS_FOLDER_VARIABLE, "EXAI_DATA_DIR", "HOME"}


@needs_systemd
def test_systemd_reads_them_and_finds_the_service_little_exposed(tmp_path: Path) -> None:
    for unit in UNITS.iterdir():
        text = unit.read_text(encoding="utf-8").replace("/opt/exai/bin/exai", shutil.which("sh") or "/bin/sh")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    units = sorted(tmp_path.iterdir())
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", SERVICE],
        capture_output=True,
        check=True,
    )
