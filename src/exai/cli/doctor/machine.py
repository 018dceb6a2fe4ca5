"""Checks of this machine: settings, secrets, the data folder, grammars."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from exai.cli.doctor.findings import Finding, ok, problem, warning
from exai.config.sources import Loaded
from exai.config.tree import find
from exai.evidence.code.languages import INSTALL, missing_languages
from exai.runtime.private_files import exposure

__all__ = ["check_data_folder", "check_keys", "check_languages", "check_settings"]

USUAL_FOLDER = (".config", "exai", "secrets")
LEAST_FREE_BYTES = 512 * 2**20
"""Free space on the disk; below this a day's answers may not fit."""


async def check_settings(loaded: Loaded) -> list[Finding]:
    """Check where the settings come from, and for secrets that are not read."""
    file = loaded.config_file
    message = (
        f"read from {file}" if file is not None else "no exai.toml; defaults and the environment are used"
    )
    found = [ok("settings", message)]
    if loaded.keyring_trouble is not None:
        found.append(
            warning("keyring", loaded.keyring_trouble.rstrip("."), "Unlock it, or uninstall `keyring`.")
        )
    found += [
        warning(
            "settings",
            f"the environment variable `{name}` is no setting of EXAI and is not read",
            "Correct its name, or give it another beginning.",
        )
        for name in loaded.unread_variables
    ]
    return found + await asyncio.to_thread(lambda: list(_unread_secrets(loaded.secrets_folder)))


def _unread_secrets(folder: Path | None) -> Iterator[Finding]:
    # Another folder, such as a container's, may hold what is not meant for EXAI.
    if folder is None or folder.parts[-3:] != USUAL_FOLDER or not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        setting = find(file.name)
        if setting is None or not setting.secret:
            yield warning(
                "secrets",
                f"{file} has the name of no secret and is not read",
                "Give it the name of its setting, such as `providers.glm.api_key`.",
            )


async def check_languages(_: Loaded) -> list[Finding]:
    """Tell which languages are read without their grammars where evidence of code is gathered."""
    missing = missing_languages()
    if not missing:
        return [ok("languages", "the grammars of all that `analyze` knows are installed")]
    return [ok("languages", f"`{INSTALL}` adds the grammars of {', '.join(missing)}, for `analyze`")]


async def check_keys(loaded: Loaded) -> list[Finding]:
    """Check which providers have a key, and where it comes from."""
    if loaded.demo:
        return [ok("keys", "the built-in emulator plays GLM and Kimi, so no key is needed")]
    providers = loaded.settings.providers
    keys = {
        "providers.glm.api_key": providers.glm.api_key,
        "providers.kimi.api_key": providers.kimi.api_key,
        **{f"providers.custom.{name}.api_key": row.api_key for name, row in providers.custom.items()},
    }
    found = [
        ok("keys", f"`{key}` comes from {loaded.origins[key]}") for key, secret in keys.items() if secret
    ]
    if not found and not providers.custom:
        fix = "Set `GLM_API_KEY` or `KIMI_API_KEY`, or `keyring set exai providers.glm.api_key`."
        return [problem("keys", "no provider has a key, so nothing can be asked", fix)]
    return found


async def check_data_folder(loaded: Loaded) -> list[Finding]:
    """Check that the data folder is writable, has room, and is closed to others."""
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
        yield ok(name, f"{folder} does not exist yet; the first start makes it")
        return
    exposed = exposure(folder.stat())
    if exposed is not None:
        yield problem(name, f"{folder} holds conversations and {exposed}", f"Run `chmod 700 {folder}`.")
    else:
        yield ok(name, f"{folder} is closed to others and can be written")
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
