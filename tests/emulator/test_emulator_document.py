"""The document tells what the tables hold, both ways."""

import re
from pathlib import Path

import msgspec
import pytest

from exai_emulator import AccountState, Emulator, EmulatorOptions, Fault, Persona
from exai_emulator.control import control_app
from exai_emulator.emulator import CONFORMANCE
from exai_emulator.rules import Behaviour

DOCUMENT = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()


def test_the_conformance_tables_are_the_emulators():
    rows = re.findall(
        r"^\| `((?:glm|kimi|custom)\.[\w.]+)` \| ([WDLSI?]+) \| (.+) \| (on|off|–) \|$",
        DOCUMENT,
        re.MULTILINE,
    )
    expected = []
    for provider in CONFORMANCE.values():
        for row in provider:
            fixed = isinstance(row, Behaviour) and not row.switchable
            state = "on" if row.default else "off"
            expected.append((row.id, row.marks, row.summary, "–" if fixed else state))
    assert sorted(rows) == sorted(expected)


@pytest.mark.parametrize("struct", [Fault, Persona, AccountState])
def test_every_setting_is_named(struct: type[msgspec.Struct]):
    missing = [name for name in struct.__struct_fields__ if f"`{name}`" not in DOCUMENT]
    assert missing in ([], ["kind"])


def test_every_error_name_is_listed():
    listed = DOCUMENT.partition("The names for `error`:")[2].partition("## Control port")[0]
    names = {name for api in Emulator(EmulatorOptions()).apis.values() for name in api.errors}
    assert set(re.findall(r"`([^`]+)`", listed)) == names


async def test_every_control_call_is_listed():
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


def test_the_keys_shown_are_the_keys():
    options = EmulatorOptions()
    for key in (options.glm_key, options.kimi_key, options.custom_key):
        assert f"key {key}" in DOCUMENT
