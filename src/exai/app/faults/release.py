"""What runs here: the release of this program, and a digest of the settings it runs with."""

import hashlib
from pathlib import Path

import msgspec

import exai
from exai.config import Settings
from exai.config.tree import plain, values
from exai.runtime.version import __version__

__all__ = ["checkout_of", "release_of", "settings_digest"]

DIGITS = 12


def release_of(version: str = __version__, package: Path | None = None) -> str:
    """Return the version, with the commit behind a `+` where the package lies in a checkout of git."""
    folder = Path(exai.__file__).parent if package is None else package
    top = checkout_of(folder)
    commit = None if top is None else _commit(top / ".git")
    return f"{version}+{commit[:DIGITS]}" if commit else version


def checkout_of(folder: Path) -> Path | None:
    """Find the checkout of git in which a folder lies; `None`: it lies in none."""
    return next((above for above in folder.parents if (above / ".git").is_dir()), None)


def settings_digest(settings: Settings) -> str:
    """Return a digest of the settings in effect, whatever their secrets are."""
    shown = {key: plain(value) for key, value in values(settings)}
    return hashlib.sha256(msgspec.json.encode(shown, order="sorted")).hexdigest()[:DIGITS]


def _commit(git: Path) -> str | None:
    """Read which commit is checked out; `None` where that cannot be read."""
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head
        ref = head.removeprefix("ref: ")
        if (git / ref).is_file():
            return (git / ref).read_text(encoding="ascii").strip()
        packed = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return next((line.partition(" ")[0] for line in packed if line.endswith(f" {ref}")), None)
