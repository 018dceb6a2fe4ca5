"""Presets: weaker than all that an operator sets, told where they are in force, and documented value by value."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from exai.cli.settings_report import as_document
from exai.config.presets import PRESETS
from exai.config.sources import Loaded, Overrides, load
from exai.config.tree import as_toml, find, values
from exai.errors import StartFault

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def loaded(
    tmp_path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    file: str | None = None,
    overrides: Overrides = (),
) -> Loaded:
    path = None
    if file is not None:
        path = tmp_path / "some.toml"
        path.write_text(file, encoding="utf-8")
    return load(
        environ={"HOME": str(tmp_path), **(environ or {})},
        config_file=path,
        overrides=overrides,
        cwd=tmp_path,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_its_values_and_no_other_and_says_so(tmp_path: Path, name: str) -> None:
    plain, chosen = loaded(tmp_path), loaded(tmp_path, environ={"EXAI_PRESET": name})
    before, after = dict(values(plain.settings)), dict(values(chosen.settings))
    group = PRESETS[name]
    assert {key for key in after if after[key] != before[key]} == {*group, "preset"}
    for key, value in group.items():
        assert after[key] == value
        assert chosen.origins[key] == f"preset {name}"
    shown = json.loads(as_document(chosen))["settings"]
    assert {key for key, each in shown.items() if each["origin"] == f"preset {name}"} == set(group)


def test_it_can_be_chosen_in_the_file_the_environment_and_on_the_command_line(tmp_path: Path) -> None:
    file = 'preset = "development"\n'
    assert loaded(tmp_path, file=file).settings.server.drain_s == 3
    environ = {"EXAI_PRESET": "testing"}
    assert loaded(tmp_path, file=file, environ=environ).settings.server.drain_s == 0.5
    overrides = ["preset=production"]
    chosen = loaded(tmp_path, file=file, environ=environ, overrides=overrides)
    assert chosen.settings.server.drain_s == 60
    assert chosen.origins["preset"] == "command line"
    assert not [
        origin for origin in chosen.origins.values() if origin in {"preset testing", "preset development"}
    ]


@pytest.mark.parametrize(
    ("stronger", "origin"),
    [
        ({"file": 'preset = "testing"\n[sessions]\ngrace_s = 7\n'}, "file"),
        ({"environ": {"EXAI_PRESET": "testing", "EXAI_SESSIONS__GRACE_S": "7"}}, "environment"),
        ({"overrides": ["preset=testing", "sessions.grace_s=7"]}, "command line"),
        ({"file": "[sessions]\ngrace_s = 7\n", "overrides": ["preset=testing"]}, "file"),
    ],
)
def test_whatever_else_is_set_is_stronger(tmp_path: Path, stronger: dict[str, object], origin: str) -> None:
    chosen = loaded(tmp_path, **stronger)  # type: ignore[arg-type]
    assert chosen.settings.sessions.grace_s == 7
    assert chosen.origins["sessions.grace_s"].startswith(origin)
    assert chosen.origins["sessions.max_sessions"] == "preset testing"


def test_an_unknown_one_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(StartFault) as caught:
        loaded(tmp_path, environ={"EXAI_PRESET": "prod"})
    assert "`development`, `production`, `testing`" in str(caught.value)
    assert "EXAI_PRESET" in str(caught.value)


def test_the_document_has_every_value_of_every_preset() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Presets")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    keys = list(dict.fromkeys(key for group in PRESETS.values() for key in group))
    expected = []
    for key in keys:
        setting = find(key)
        assert setting is not None
        cells = [as_toml(PRESETS[name][key]) if key in PRESETS[name] else "-" for name in PRESETS]
        expected.append([f"`{key}`", f"`{setting.default}`", *(f"`{cell}`" for cell in cells)])
    assert [cells[:5] for cells in lines] == expected
    assert all(len(cells[5]) > 20 for cells in lines), "a value has no reason"
