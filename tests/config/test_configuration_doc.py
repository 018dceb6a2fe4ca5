"""`docs/configuration.md` says what the tree says: every setting, and no other."""

import re
from pathlib import Path

import pytest

from exai.config import Settings
from exai.config.tree import MASK, Setting, as_toml, find, plain, rows, secret_values, values

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def documented() -> dict[str, tuple[str, ...]]:
    """The cells of each table row by the setting's key."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    found = [
        tuple(cell.strip() for cell in line.strip("|").split(" | "))
        for line in lines
        if line.startswith("| `") and len(line.split(" | ")) == 5
    ]
    keys = [cells[0].strip("`") for cells in found]
    assert len(keys) == len(set(keys)), "a setting has two rows"
    return dict(zip(keys, found, strict=True))


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    assert list(documented()) == [row.key for row in rows()]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.key)
def test_the_row_says_what_the_tree_says(row: Setting) -> None:
    names = ", ".join(f"`{name}`" for name in row.environment)
    assert documented()[row.key] == (f"`{row.key}`", row.type, f"`{row.default}`", row.meaning, names)


def test_each_row_stands_under_the_heading_of_its_section() -> None:
    section = ""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"## (?:`\[(.+)\]`|Top level)", line):
            section = heading[1] or ""
        elif line.startswith("| `"):
            assert line.startswith(f"| `{section}.".replace("`.", "`"))


def test_every_setting_has_a_meaning() -> None:
    assert [row.key for row in rows() if not row.meaning] == []


def test_the_rows_are_the_leaves_of_the_tree() -> None:
    custom = {"mine": {"base_url": "http://h/v1", "models": [{"name": "m"}]}}
    issuers = {"mine": {"issuer": "i", "audience": "a", "jwks_url": "https://i/keys"}}
    settings = Settings.model_validate({"providers": {"custom": custom}, "auth": {"issuers": issuers}})
    assert {key.replace(".mine.", ".NAME.") for key, _ in values(settings)} == {row.key for row in rows()}
    assert all(find(key) is not None for key, _ in values(settings))


def test_a_secret_is_masked_however_it_is_shown() -> None:
    settings = Settings.model_validate(
        {
            "providers": {
                "glm": {"api_key": "id.canary", "base_url": "http://user:canary@h/v4"},
                "kimi": {"api_key": "canary"},
            },
            "database": {"url": "postgresql+asyncpg://user:canary@h/name"},
        }
    )
    shown = [as_toml(value) + repr(plain(value)) for _, value in values(settings)]
    assert "canary" not in "".join(shown)
    assert sum(MASK in text for text in shown) == 4
    assert set(secret_values(settings)) == {"id.canary", "canary", "postgresql+asyncpg://user:canary@h/name"}
