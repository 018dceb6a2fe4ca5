"""`exai connect` to a daemon on another machine: the bridge, which also carries the files that calls name."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from exai.client.bridge import serve_bridge
from exai.client.carried_calls import CarriedCalls
from exai.client.file_carrier import open_carrier
from exai.client.tokens import ClientTokens

__all__ = ["serve_carrying_bridge"]


async def serve_carrying_bridge(
    url: str, tokens: ClientTokens, roots: Sequence[Path], *, patience_s: float, max_line_bytes: int
) -> None:
    """Serve as `serve_bridge` does, and carry files from below `roots`."""
    async with open_carrier(url, tokens, roots) as carrier:
        await serve_bridge(
            url,
            tokens,
            patience_s=patience_s,
            max_line_bytes=max_line_bytes,
            carry=partial(CarriedCalls, carrier),
        )
