"""The doctor's look at this machine: settings, secrets, the data folder."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from exai.config.sources import Loaded
from exai.config.tree import find
from exai.doctor.findings import Finding, problem, warning, well
from exai.runtime.private_files import exposure

__all__ = ["look_at_data_folder", "look_at_keys", "look_at_settings"]

USUAL_FOLDER = (".config", "exai", "secrets")
LEAST_FREE_BYTES = 512 * 2**20
"""Of the disk, below which a day's answers may not fit."""


async def look_at_settings(loaded: Loaded) -> list[Finding]:
    """Where the settings come from, and what of them nobody reads."""
    file = loaded.config_file
    says = f"read from {file}" if file is not None else "no exai.toml; defaults and the environment count"
    found = [well("settings", says)]
    if loaded.keyring_trouble is not None:
        found.append(
            warning("keyring", loaded.keyring_trouble.rstrip("."), "Unlock it, or uninstall `keyring`.")
        )
    return found + await asyncio.to_thread(lambda: list(_unread_secrets(loaded.secrets_folder)))


def _unread_secrets(folder: Path) -> Iterator[Finding]:
    # Another folder, such as a container's, may hold what is not meant for EXAI.
    if folder.parts[-3:] != USUAL_FOLDER or not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        setting = find(file.name)
        if setting is None or not setting.secret:
            yield warning(
                "secrets",
                f"{file} has the name of no secret and is not read",
                "Give it the name of its setting, such as `providers.glm.api_key`.",
            )


async def look_at_keys(loaded: Loaded) -> list[Finding]:
    """Which providers have a key, and from where."""
    providers = loaded.settings.providers
    keys = {
        "providers.glm.api_key": providers.glm.api_key,
        "providers.kimi.api_key": providers.kimi.api_key,
        **{f"providers.custom.{name}.api_key": row.api_key for name, row in providers.custom.items()},
    }
    found = [
        well("keys", f"`{key}` comes from {loaded.origins[key]}") for key, secret in keys.items() if secret
    ]
    if not found and not providers.custom:
        mend = "Set `GLM_API_KEY` or `KIMI_API_KEY`, or `keyring set exai providers.glm.api_key`."
        return [problem("keys", "no provider has a key, so nothing can be asked", mend)]
    return found


async def look_at_data_folder(loaded: Loaded) -> list[Finding]:
    """Whether it can be written, has room, and is closed to others."""
    return await asyncio.to_thread(lambda: list(_folder(loaded.settings.data_dir)))


def _folder(folder: Path) -> Iterator[Finding]:
    name = "data folder"
    nearest = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        yield problem(name, f"{nearest} cannot be written", "Make it writable, or set another `data_dir`.")
        return
    free = shutil.disk_usage(nearest).free
    if free < LEAST_FREE_BYTES:
        yield warning(name, f"only {free // 2**20} MiB are free for {folder}", "Make room on that disk.")
    if nearest != folder:
        yield well(name, f"{folder} does not exist yet; the first start makes it")
        return
    exposed = exposure(folder.stat())
    if exposed is not None:
        yield problem(name, f"{folder} holds conversations and {exposed}", f"Run `chmod 700 {folder}`.")
    else:
        yield well(name, f"{folder} is closed to others and can be written")
    keys = folder / "keys"
    if keys.exists() and not (keys.is_dir() and os.access(keys, os.W_OK | os.X_OK)):
        yield problem(
            "signing keys", f"{keys} cannot be written", "Make it a folder of the user EXAI runs as."
        )
    for key in sorted(keys.glob("*.pem")):
        if (exposed := exposure(key.stat())) is not None:
            yield problem(
                "signing keys",
                f"{key} makes tokens and {exposed}",
                f"Run `chmod 600 {key}`; if somebody may have read it, `exai keys rotate --now` as well.",
            )
