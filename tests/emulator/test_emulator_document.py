"""The document tells what the tables hold, both ways."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec
import pytest

from exai_emulator import AccountState, Emulator, EmulatorOptions, Fault, FileState, Persona
from exai_emulator.conformance import conformance_page
from exai_emulator.control import control_app
from exai_emulator.emulator import CONFORMANCE
from exai_emulator.rules import MARKS

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "emulator.md").read_text()


async def test_the_conformance_page_is_what_the_command_prints() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from exai_emulator.cli import main; main()", "--conformance", stdout=PIPE
    )
    async with asyncio.timeout(30):
        printed, _ = await process.communicate()
    assert process.returncode == 0
    page = (DOCS / "emulator-conformance.md").read_text()
    assert printed.decode() == page, (
        "Print it anew: exai-emulator --conformance > docs/emulator-conformance.md"
    )


def test_the_conformance_page_holds_every_row_and_its_evidence() -> None:
    page = conformance_page()
    for rows in CONFORMANCE.values():
        for row in rows:
            assert f"| `{row.id}` | {row.marks} | {row.summary} |" in page
    for api in Emulator(EmulatorOptions()).apis.values():
        for error in api.errors.values():
            assert f"| `{error.name}` | {error.mark} | {error.status} |" in page


def test_every_row_names_its_evidence() -> None:
    rows = [row for rows in CONFORMANCE.values() for row in rows]
    marks = {row.id: row.marks for row in rows}
    marks |= {
        f"{name} error {error.name}": error.mark
        for name, api in Emulator(EmulatorOptions()).apis.items()
        for error in api.errors.values()
    }
    assert [row for row, of_row in marks.items() if not of_row or set(of_row) - MARKS.keys()] == []


@pytest.mark.parametrize("struct", [Fault, Persona, AccountState, FileState])
def test_every_setting_is_named(struct: type[msgspec.Struct]) -> None:
    missing = [name for name in struct.__struct_fields__ if f"`{name}`" not in DOCUMENT]
    assert missing in ([], ["kind"])


def test_every_error_name_is_listed() -> None:
    listed = DOCUMENT.partition("The names for `error`:")[2].partition("\n## ")[0]
    names = {name for api in Emulator(EmulatorOptions()).apis.values() for name in api.errors}
    assert set(re.findall(r"`([^`]+)`", listed)) == names


async def test_every_control_call_is_listed() -> None:
    listed = DOCUMENT.partition("## Control port")[2].partition("```")[0]
    told = {
        (method, path)
        for methods, path in re.findall(r"^\| ((?:`[A-Z]+`, )*`[A-Z]+) (/_ctl/\w+)` \|", listed, re.MULTILINE)
        for method in re.findall("[A-Z]+", methods)
    }
    routes = control_app(Emulator(EmulatorOptions())).router.routes()
    real = {
        (route.method, route.resource.canonical)
        for route in routes
        if route.method != "HEAD" and route.resource
    }
    assert told == real


def test_the_keys_shown_are_the_keys() -> None:
    options = EmulatorOptions()
    for key in (options.glm_key, options.kimi_key, options.custom_key):
        assert f"key {key}" in DOCUMENT
