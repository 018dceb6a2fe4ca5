"""`scripts/_environment`: when .venv is made, from what, and what a user reads when it cannot be."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import IO

import pytest

from support.checkouts import APT, UV, Checkout

PIP = "python -m pip --disable-pip-version-check --no-input install --quiet"


def _made(checkout: Checkout) -> list[str]:
    """The commands that made an environment or changed it, in short."""
    words = {" venv ": "venv", "--require-hashes": "packages", "--editable": "project"}
    return [short for line in checkout.commands for word, short in words.items() if word in line]


def _read_until(stream: IO[str] | None, word: str) -> None:
    assert stream is not None
    for line in stream:
        if word in line:
            return
    raise AssertionError(f"{word!r} was never said")


def test_the_first_start_makes_the_environment_from_the_lock(checkout: Checkout) -> None:
    done = checkout.run("serve", "--demo", "--set", "a=b c")
    assert done.returncode == 0
    assert checkout.commands == [
        f"python3 -m venv {checkout.folder}/.venv",
        f"{PIP} --require-hashes -r {checkout.folder}/requirements.lock",
        f"{PIP} --no-deps --no-build-isolation --editable {checkout.folder}",
        f"exai serve --demo --set a=b c (in {checkout.tools.parent.name})",
    ]
    assert "making .venv" in done.stderr
    assert done.stdout == ""


def test_a_second_start_makes_nothing_and_says_nothing(checkout: Checkout) -> None:
    checkout.run("serve")
    checkout.forget()
    done = checkout.run("serve")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert _made(checkout) == []


def test_another_lock_makes_it_anew(checkout: Checkout) -> None:
    checkout.run("serve")
    (checkout.folder / ".venv" / "stale").touch()
    (checkout.folder / "requirements.lock").write_text("other==2\n")
    checkout.forget()
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == ["venv", "packages", "project"]
    assert not (checkout.folder / ".venv" / "stale").exists()


def test_other_project_settings_install_the_project_alone(checkout: Checkout) -> None:
    checkout.run("serve")
    (checkout.folder / "pyproject.toml").write_text("[project]\n")
    checkout.forget()
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == ["project"]


def test_a_checkout_that_moved_makes_it_anew(checkout: Checkout) -> None:
    checkout.run("serve")
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    checkout.forget()
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == ["venv", "packages", "project"]


def test_an_environment_for_development_serves_and_stays_one(checkout: Checkout) -> None:
    checkout.run("test")
    checkout.forget()
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == []

    (checkout.folder / "requirements-dev.lock").write_text("other==2\n")
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == ["venv", "packages", "project"]
    assert f"{PIP} --require-hashes -r {checkout.folder}/requirements-dev.lock" in checkout.commands


def test_an_environment_for_serving_is_not_enough_for_tests(checkout: Checkout) -> None:
    checkout.run("serve")
    checkout.forget()
    assert checkout.run("test").returncode == 0
    assert _made(checkout) == ["venv", "packages", "project"]


def test_a_failure_of_pip_is_shown_and_the_next_start_tries_again(checkout: Checkout) -> None:
    failed = checkout.run("serve", FAKE_PIP_FAILS="1")
    assert failed.returncode == 2
    assert "no such package" in failed.stderr
    assert "could not be installed" in failed.stderr.splitlines()[-1]
    checkout.forget()
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == ["venv", "packages", "project"]


def test_parallel_starts_make_it_once(checkout: Checkout, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = checkout.start("serve", "first", FAKE_GATE=str(gate))
    _read_until(first.stderr, "installing")
    second = checkout.start("serve", "second", FAKE_GATE=str(gate))
    _read_until(second.stderr, "waiting for another start")
    gate.write_text("open")
    assert [process.wait(30) for process in (first, second)] == [0, 0]
    for process in (first, second):
        process.communicate()
    assert _made(checkout) == ["venv", "packages", "project"]
    assert {line.split()[2] for line in checkout.commands if line.startswith("exai serve")} == {
        "first",
        "second",
    }


def test_what_a_killed_start_left_is_made_anew(checkout: Checkout, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    process = checkout.start("serve", FAKE_GATE=str(gate))
    _read_until(process.stderr, "installing")
    checkout.end(process)
    checkout.forget()
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == ["venv", "packages", "project"]


def test_uv_makes_it_where_there_is_uv(checkout: Checkout) -> None:
    checkout.tool("uv", UV)
    assert checkout.run("serve").returncode == 0
    venv = checkout.folder / ".venv"
    assert checkout.commands[:3] == [
        f"uv venv --python {checkout.tools}/python3 {venv}",
        f"uv pip install --quiet --python {venv}/bin/python --require-hashes -r {checkout.folder}/requirements.lock",
        f"uv pip install --quiet --python {venv}/bin/python --no-deps --no-build-isolation "
        f"--editable {checkout.folder}",
    ]


def test_an_environment_by_uv_is_recreated_when_uv_is_gone(
    checkout: Checkout,
) -> None:
    checkout.tool("uv", UV)
    checkout.run("serve")
    (checkout.tools / "uv").unlink()
    checkout.forget()
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == []

    (checkout.folder / "pyproject.toml").write_text("[project]\n")
    assert checkout.run("serve").returncode == 0
    assert _made(checkout) == ["venv", "packages", "project"]


def test_a_newer_python_under_its_own_name_is_found(checkout: Checkout) -> None:
    shutil.copy(checkout.tools / "python3", checkout.tools / "python3.12")
    checkout.tool("python3", "#!/usr/bin/env bash\nexit 1\n")
    done = checkout.run("serve")
    assert done.returncode == 0, done.stderr


def test_without_a_python_one_sentence_says_what_to_do(checkout: Checkout) -> None:
    done = checkout.run("serve", FAKE_OLD_PYTHON="1")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "exai: Python 3.11 or newer is needed; install it, or name it in the variable PYTHON."
    ]


def _as_user(checkout: Checkout, number: int) -> None:
    checkout.tool("id", f"#!/usr/bin/env bash\necho {number}\n")


def test_an_ordinary_user_reads_what_to_install_for_virtual_environments(checkout: Checkout) -> None:
    _as_user(checkout, 1000)
    checkout.tool("apt-get", APT)
    done = checkout.run("serve", FAKE_NO_ENSUREPIP="1")
    assert done.returncode == 2
    assert "install python3.11-venv (or uv, or virtualenv)" in done.stderr.splitlines()[-1]
    assert checkout.commands == []


def test_root_on_debian_gets_it_installed(checkout: Checkout) -> None:
    _as_user(checkout, 0)
    checkout.tool("apt-get", APT)
    done = checkout.run("serve", FAKE_NO_ENSUREPIP="1")
    assert done.returncode == 0, done.stderr
    assert [line for line in checkout.commands if line.startswith("apt-get")] == [
        "apt-get -o DPkg::Lock::Timeout=120 update",
        "apt-get -o DPkg::Lock::Timeout=120 install -y python3.11-venv",
    ]
    assert _made(checkout) == ["venv", "packages", "project"]


@pytest.mark.parametrize("found", ["installed from elsewhere", "from a checkout beside it"])
def test_a_script_works_through_a_link_from_another_folder(
    checkout: Checkout, tmp_path: Path, found: str
) -> None:
    link = tmp_path / found
    link.symlink_to(checkout.folder / "scripts" / "serve")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = checkout.run(link, "--help", cwd=elsewhere, CDPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert checkout.commands[-1] == "exai serve --help (in elsewhere)"
    assert (checkout.folder / ".venv").is_dir()


def test_it_is_plain_bash() -> None:
    scripts = Path(__file__).parents[2] / "scripts"
    checked = subprocess.run(
        ["bash", "-n", scripts / "_environment"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
