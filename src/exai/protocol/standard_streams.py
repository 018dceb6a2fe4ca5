"""The descriptors of stdin and stdout, of which a process that speaks MCP over them keeps stdout for the protocol."""

import os

__all__ = ["STDIN", "take_stdout"]

STDIN, STDOUT, STDERR = 0, 1, 2


def take_stdout() -> int:
    """Return a descriptor of stdout for the protocol alone; other writes to stdout go to stderr from now on."""
    protocol = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    return protocol
