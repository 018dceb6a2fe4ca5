"""What runs here: the release of this program, and a digest of the settings it runs with."""

import hashlib
from functools import cache
from pathlib import Path

import msgspec

import exai
from exai.app.faults.checkout import checkout_of, commit_of, is_modified
from exai.config import Settings
from exai.config.demo import EMULATED_PROVIDERS
from exai.config.tree import plain, values
from exai.runtime.version import __version__

__all__ = ["PACKAGE", "release_of", "running_release", "settings_digest"]

DIGITS = 12
PACKAGE = Path(exai.__file__).parent


@cache
def running_release() -> str:
    """Return the release of this program. What its checkout becomes later is not what this process runs."""
    return release_of()


def release_of(version: str = __version__, package: Path = PACKAGE) -> str:
    """Return the version, with the commit behind a `+` where the package lies in a checkout of git.

    `-dirty` follows where a module was changed since.
    """
    top = checkout_of(package)
    commit = None if top is None else commit_of(top)
    if top is None or not commit:
        return version
    return f"{version}+{commit[:DIGITS]}{'-dirty' if is_modified(top, package) else ''}"


def settings_digest(settings: Settings, *, demo: bool = False) -> str:
    """Return a digest of the settings in effect, whatever their secrets are, and wherever a `demo` has its emulator."""
    drawn = {f"providers.{name}.base_url" for name in EMULATED_PROVIDERS} if demo else set()
    shown = {key: plain(value) for key, value in values(settings) if key not in drawn}
    return hashlib.sha256(msgspec.json.encode(shown, order="sorted")).hexdigest()[:DIGITS]
