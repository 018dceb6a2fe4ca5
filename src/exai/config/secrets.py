"""Secrets outside the configuration file: in the system's keyring, or each in a file of its own.

Both name a secret by the dotted key of its setting, such as `providers.glm.api_key`.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from exai.config.client import path_in
from exai.config.home import expanded
from exai.errors import StartFault
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import read_private

__all__ = [
    "KEYRING_SERVICE",
    "SECRETS_FOLDER_VARIABLE",
    "AskKeyring",
    "KeyringAnswer",
    "ask_keyring",
    "secret_files",
    "secrets_folder",
]

SECRETS_FOLDER_VARIABLE = "EXAI_SECRETS"
KEYRING_SERVICE = "exai"
"""The service name in the keyring: `keyring set exai providers.glm.api_key`."""
BACKEND_VARIABLE = "PYTHON_KEYRING_BACKEND"
NO_BACKEND = "keyring.backends.null.Keyring"
"""The value of keyring's own variable that switches it off."""
ANSWER_S = 20.0
"""How long a keyring may take; it may have to ask its user first."""


@dataclass(frozen=True)
class KeyringAnswer:
    """The secrets that the keyring has."""

    secrets: Mapping[str, str] = field(default_factory=dict)
    """By dotted key."""

    trouble: str | None = None
    """Why it could not be asked, as a sentence."""


AskKeyring = Callable[[Sequence[str]], KeyringAnswer]
"""Called with the dotted keys to look up."""


def ask_keyring(keys: Sequence[str]) -> KeyringAnswer:
    """Ask the system's keyring, if the package `keyring` is installed and the machine has one."""
    if find_spec("keyring") is None or os.environ.get(BACKEND_VARIABLE) == NO_BACKEND:
        return KeyringAnswer()
    answers: list[KeyringAnswer] = []
    # A locked keyring asks its user, who may be away: hence a daemon thread, which does not delay the exit.
    asking = threading.Thread(target=lambda: answers.append(_asked(keys)), name="keyring", daemon=True)
    asking.start()
    asking.join(ANSWER_S)
    if not answers:
        return KeyringAnswer(trouble=f"The keyring did not answer within {ANSWER_S:g} s; unlock it.")
    return answers[0]


def _asked(keys: Sequence[str]) -> KeyringAnswer:
    try:
        import keyring  # noqa: PLC0415 - an extra, and it looks for every keyring of the machine
        from keyring.errors import NoKeyringError  # noqa: PLC0415

        try:
            found = {key: keyring.get_password(KEYRING_SERVICE, key) for key in keys}
        except NoKeyringError:
            return KeyringAnswer()
    except Exception as error:  # noqa: BLE001 - what a foreign backend raises, from D-Bus to a broken file
        return KeyringAnswer(trouble=f"The keyring could not be asked ({type(error).__name__}); unlock it.")
    return KeyringAnswer({key: secret for key, secret in found.items() if secret is not None})


def secrets_folder(environ: Mapping[str, str], cwd: Path, home: Path | None) -> Path | None:
    """Return the folder of the files: what `EXAI_SECRETS` names, else `~/.config/exai/secrets` where there is a home.

    Raises:
        StartFault: the variable has no value that could be a path.
    """
    named = path_in(environ, SECRETS_FOLDER_VARIABLE)
    if named is not None:
        return cwd / expanded(named, home)
    return None if home is None else home / ".config" / "exai" / "secrets"


def secret_files(folder: Path, keys: Iterable[str]) -> Mapping[str, str]:
    """Read the secrets that have a file in `folder`, without a final line break.

    Raises:
        StartFault: one cannot be read, or others can read it.
    """
    found: dict[str, str] = {}
    for key in keys:
        file = folder / key
        try:
            found[key] = read_private(file).strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            reason = reason_of(error)
            raise StartFault(f"The secret {file} cannot be read ({reason}).") from error
    return found
