"""A checkout whose scripts are the real ones and whose Python, pip and uv are stand-ins that write down calls."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["APT", "UV", "Checkout", "make_checkout"]

ROOT = Path(__file__).parents[2]

TOOLS = (
    "bash",
    "cat",
    "chmod",
    "cksum",
    "cp",
    "dirname",
    "env",
    "grep",
    "id",
    "ln",
    "mkdir",
    "readlink",
    "rm",
)
"""All that the scripts and the stand-ins find on their PATH."""

STANDS_IN = f"""#!/usr/bin/env bash
# A Python that installs nothing.
here=$(dirname "$0")
case "$*" in
    *_base_executable*) [ -z "${{FAKE_OLD_PYTHON:-}}" ] && printf '%s\\n' "$FAKE_TOOLS/${{0##*/}}"; exit ;;
    *ensurepip*) [ -z "${{FAKE_NO_ENSUREPIP:-}}" ] || [ -e "$FAKE_TOOLS/installed" ]; exit ;;
    *fcntl*) exec "{sys.executable}" "$@" ;;
    *version_info*) printf 'python3.11-venv\\n'; exit ;;
esac
printf '%s%s %s\\n' "${{PYTHONPATH:+PYTHONPATH=$PYTHONPATH }}" "${{0##*/}}" "$*" >>"$FAKE_LOG"
case "$*" in
    *"-m pytest"*) [ -z "${{FAKE_TESTS_FAIL:-}}" ] || exit 1 ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/pip" ;;
    *--require-hashes*)
        [ -z "${{FAKE_PIP_FAILS:-}}" ] || {{ printf 'no such package\\n'; exit 1; }}
        [ -z "${{FAKE_GATE:-}}" ] || cat "$FAKE_GATE"
        for tool in ruff mypy lint-imports bandit exai; do cp "$FAKE_TOOLS/recorder" "$here/$tool"; done ;;
esac
"""

UV = """#!/usr/bin/env bash
printf 'uv %s\\n' "$*" >>"$FAKE_LOG"
[ "$1" != venv ] || { mkdir -p "$4/bin" && cp "$3" "$4/bin/python" && cp "$FAKE_TOOLS/recorder" "$4/bin/exai"; }
"""

APT = """#!/usr/bin/env bash
printf 'apt-get %s\\n' "$*" >>"$FAKE_LOG"
[[ "$*" != *install* ]] || printf '' >"$FAKE_TOOLS/installed"
"""

RECORDER = """#!/usr/bin/env bash
printf '%s %s (in %s)\\n' "${0##*/}" "$*" "${PWD##*/}" >>"$FAKE_LOG"
[ "${0##*/} $1" != "${FAKE_FAILS:-}" ]
"""


@dataclass
class Checkout:
    """A folder with the project's scripts, and the commands that they find."""

    folder: Path
    tools: Path
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """One line for each command of a stand-in."""
        return self.tools.parent / "log"

    @property
    def commands(self) -> list[str]:
        """What was called, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def forget(self) -> None:
        """Begin the list of commands anew."""
        self.log.unlink(missing_ok=True)

    def tool(self, name: str, text: str) -> None:
        """Put a command on the PATH of the scripts."""
        path = self.tools / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start(
        self, script: Path | str, *arguments: str, cwd: Path | None = None, **more: str
    ) -> "subprocess.Popen[str]":
        """Start a script, by a path or by its name in the checkout."""
        process = subprocess.Popen(
            [self.folder / "scripts" / script, *arguments],
            cwd=cwd or self.tools.parent,
            env=self._variables() | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self, process: "subprocess.Popen[str]") -> None:
        """Kill a script and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def run(
        self, script: Path | str, *arguments: str, cwd: Path | None = None, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script to its end."""
        process = self.start(script, *arguments, cwd=cwd, **more)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": str(self.tools),
            "HOME": str(self.tools.parent),
            "FAKE_TOOLS": str(self.tools),
            "FAKE_LOG": str(self.log),
        }


def make_checkout(place: Path) -> Checkout:
    """A fresh one, in a folder with a space in its name, without an environment and without uv."""
    folder, tools = place / "a checkout", place / "tools"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "calls.py").touch()
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (folder / name).write_text(f"{name}==1\n")
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, f"{name} is needed to run the scripts"
        (tools / name).symlink_to(found)
    made = Checkout(folder, tools)
    made.tool("python3", STANDS_IN)
    made.tool("recorder", RECORDER)
    return made
