"""The guide to stable connections says what the tree says: every option, no other, with its presets and extremes."""

import re
from pathlib import Path

import pytest

from exai.config.presets import PRESETS
from exai.config.tree import Setting, as_toml, find, rows

GUIDE = Path(__file__).parents[2] / "docs" / "current" / "WEBSOCKET_STABILITY_CONFIG_GUIDE.md"
TEXT = GUIDE.read_text(encoding="utf-8")
SECTIONS = ("sessions", "websocket", "idempotency")
STOPPING_AND_DOORS = (
    "server.drain_s",
    "server.head_timeout_s",
    "server.body_timeout_s",
    "server.max_body_bytes",
)
OPTIONS = [row for row in rows() if row.section in SECTIONS or row.key in STOPPING_AND_DOORS]
UNITS = {"s": "s", "ms": "ms", "bytes": "bytes", "hours": "h"}


def described() -> dict[str, list[str]]:
    options = TEXT.partition("## Options")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in options.splitlines() if line.startswith("| `")]
    keys = [cells[0].strip("`") for cells in lines]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, lines, strict=True))


def test_it_has_every_option_and_no_other() -> None:
    assert set(described()) == {row.key for row in OPTIONS}


@pytest.mark.parametrize("row", OPTIONS, ids=lambda row: row.key)
def test_an_option_has_its_unit_default_presets_and_what_its_extremes_do(row: Setting) -> None:
    unit = UNITS.get(row.key.rpartition("_")[2], "number")
    presets = [as_toml(group[row.key]) if row.key in group else "-" for group in PRESETS.values()]
    cells = described()[row.key]
    assert cells[1:6] == [unit, f"`{row.default}`", *(f"`{value}`" for value in presets)]
    assert len(cells) == 8
    assert all(len(extreme) > 20 for extreme in cells[6:])


def test_whatever_it_names_is_a_setting() -> None:
    sections = {row.section for row in rows() if row.section}
    named = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", TEXT))
    settings = {name for name in named if name.rpartition(".")[0] in sections}
    assert {name for name in settings if find(name) is None} == set()
    assert named - settings <= {"exai.client", "exai.mcp"}


def test_its_recipes_are_configurations(tmp_path: Path) -> None:
    from exai.config.sources import load

    recipes = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(recipes) >= 4
    for recipe in recipes:
        file = tmp_path / "recipe.toml"
        file.write_text(recipe, encoding="utf-8")
        loaded = load(environ={"HOME": str(tmp_path)}, config_file=file, overrides=(), cwd=tmp_path)
        sessions = loaded.settings.sessions
        assert sessions.max_age_s >= sessions.grace_s, "its own best practice"


def test_its_metrics_exist() -> None:
    operations = (GUIDE.parents[1] / "operations.md").read_text(encoding="utf-8")
    assert {name for name in re.findall(r"\bexai_[a-z_]+[a-z]", TEXT) if name not in operations} == set()
