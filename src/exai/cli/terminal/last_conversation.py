"""The conversation that `exai chat --continue` goes on with: the last one, for each daemon."""

import json
from contextlib import suppress
from pathlib import Path

from exai.errors import StartFault
from exai.runtime.private_files import prove_writable, replace_private

__all__ = ["last_conversation", "remember_conversation"]

FILE_NAME = "last_conversations.json"


def last_conversation(data_dir: Path, daemon: str) -> str:
    """Return the id of the last conversation with a daemon.

    Raises:
        StartFault: there was none.
    """
    found = _read(data_dir).get(daemon)
    if found is None:
        raise StartFault("There is no conversation to go on with yet; leave `--continue` out.")
    return found


def remember_conversation(data_dir: Path, daemon: str, conversation: str) -> None:
    """Note the id of the last conversation with a daemon; without a writable folder, the next one begins anew."""
    file = data_dir / FILE_NAME
    with suppress(OSError):
        prove_writable(file)
        replace_private(file, json.dumps({**_read(data_dir), daemon: conversation}))


def _read(data_dir: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        document = json.loads((data_dir / FILE_NAME).read_text(encoding="utf-8"))
        if isinstance(document, dict):
            return {str(daemon): str(conversation) for daemon, conversation in document.items()}
    return {}
