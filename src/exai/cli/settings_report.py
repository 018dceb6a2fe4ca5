"""The settings in force as a table and as JSON, with secrets masked."""

import json

from exai.config.sources import Loaded
from exai.config.tree import as_toml, plain, values

__all__ = ["as_document", "as_table"]

WIDEST_VALUE = 60
"""In characters; a longer value moves only its own origin to the right."""


def as_document(loaded: Loaded) -> str:
    """Format the settings as JSON: the file that was read, and each setting's value and origin."""
    settings = {
        key: {"value": plain(value), "origin": loaded.origins[key]} for key, value in values(loaded.settings)
    }
    file = str(loaded.config_file) if loaded.config_file else None
    return json.dumps({"config_file": file, "settings": settings}, indent=2)


def as_table(loaded: Loaded) -> str:
    """Format the settings as a table: key, value as TOML, origin."""
    rows = [("SETTING", "VALUE", "ORIGIN")]
    rows += [(key, as_toml(value), loaded.origins[key]) for key, value in values(loaded.settings)]
    first = max(len(key) for key, _, _ in rows)
    second = max(min(len(value), WIDEST_VALUE) for _, value, _ in rows)
    return "\n".join(f"{key:<{first}}  {value:<{second}}  {origin}" for key, value, origin in rows)
