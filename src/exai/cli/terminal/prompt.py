"""What `exai chat` sends: the words of the command line, what was piped in, and files."""

import re
from collections.abc import Sequence
from pathlib import Path

from exai.cli.terminal.attached import AttachedFiles
from exai.errors import StartFault
from exai.files.documents.numbering import framed_name, numbered
from exai.files.store.handles import is_handle

__all__ = ["is_stored", "prompt_of"]

_STORED = re.compile(r"tree_[0-9a-f]{32}|exai://.*", re.DOTALL)


def is_stored(given: str) -> bool:
    """Whether this names a stored file, lines of one, or a snapshot; the daemon reads it then."""
    return is_handle(given) or _STORED.fullmatch(given) is not None


def prompt_of(words: Sequence[str], piped: str, files: Sequence[Path], attached: AttachedFiles) -> str:
    """Put the prompt together. Files are read here: a daemon may run elsewhere, or not be allowed to read them.

    Raises:
        StartFault: there is nothing to ask, or a file cannot be read as text, or not be sent.
    """
    blocks = (_block(file, attached.text(file)) for file in files)
    parts = [" ".join(words).strip(), piped.strip(), *blocks]
    prompt = "\n\n".join(part for part in parts if part)
    if not prompt:
        raise StartFault('There is nothing to ask. Say what: `exai chat "…"`, or pipe it in.')
    return prompt


def _block(file: Path, text: str) -> str:
    """Frame a file as the daemon does: each line has its number, so neither a line nor the name passes for ours."""
    lines = text.rstrip().split("\n")
    name = framed_name(str(file))
    return f"<<<FILE {name} lines 1-{len(lines)}>>>\n{numbered(1, lines).text}<<<END {name}>>>"
