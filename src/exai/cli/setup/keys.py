"""How a provider's key comes to an EXAI that a client starts: Gemini CLI and Codex, among others, hand no key on.

A client whose file can refer to a variable gets the reference; for one whose file cannot, and for every client with
`--save-keys`, the key goes into a file of its own, which only its user can read and which EXAI reads by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exai.cli.setup.clients import Client
from exai.config import Settings
from exai.config.secrets import SECRETS_FOLDER_VARIABLE
from exai.config.sources import Loaded
from exai.config.tree import find, values
from exai.errors import StartFault

__all__ = ["Keys", "keys_of", "settings_of_this_shell"]

FROM_ENVIRONMENT = "environment "
"""Begins the origin of a setting that a variable has."""
KEY = ".api_key"


@dataclass(frozen=True)
class Keys:
    """The providers' keys, as far as clients have to be told of them."""

    of_this_shell: Mapping[str, str]
    """Names of variables that have a key, each with the dotted key of its setting."""
    elsewhere: bool
    """Whether a key is where EXAI finds it by itself."""
    folder: Path | None
    """Where a key's own file is; `None` where there is no home folder."""

    def references(self, client: Client) -> dict[str, str]:
        """Return the variables that the client hands on, as its file refers to them."""
        if client.reference is None:
            return {}
        return {name: client.reference(name) for name in self.of_this_shell}

    def files(self, settings: Settings) -> dict[Path, str]:
        """Return the files that keep the keys of this shell, each with its content.

        Raises:
            StartFault: there is no folder for them.
        """
        if self.folder is None:
            raise StartFault(
                f"There is no home folder for files of keys; set `HOME` or `{SECRETS_FOLDER_VARIABLE}`."
            )
        secrets = dict(values(settings))
        return {
            self.folder / key: f"{secrets[key].get_secret_value()}\n" for key in self.of_this_shell.values()
        }


def keys_of(loaded: Loaded) -> Keys:
    """Find out where the providers' keys are."""
    given = {key: loaded.origins[key] for key, value in values(loaded.settings) if _is_key(key) and value}
    of_this_shell = {
        origin.removeprefix(FROM_ENVIRONMENT): key
        for key, origin in given.items()
        if origin.startswith(FROM_ENVIRONMENT)
    }
    return Keys(of_this_shell, len(of_this_shell) < len(given), loaded.secrets_folder)


def settings_of_this_shell(loaded: Loaded) -> list[str]:
    """Return the variables that have settings other than secrets: a client may start EXAI without them."""
    return sorted(
        origin.removeprefix(FROM_ENVIRONMENT)
        for key, origin in loaded.origins.items()
        if origin.startswith(FROM_ENVIRONMENT) and (setting := find(key)) is not None and not setting.secret
    )


def _is_key(key: str) -> bool:
    return key.startswith("providers.") and key.endswith(KEY)
