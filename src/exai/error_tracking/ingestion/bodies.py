"""Bodies of reports: unpacked and decoded, never further than their bounds.

Whatever is wrong with a body as a whole is a class here; the sentence says what its sender can do.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from exai.errors import RequestFault
from exai.protocol.surrogates import repaired

try:
    import brotli
except ImportError:
    brotli = None

__all__ = ["LARGEST", "MOST_DEPTH", "ReportRefused", "ReportTooLarge", "decoded", "unpacked"]

LARGEST = 4 * 2**20
"""Bytes of a body, unpacked."""
MOST_DEPTH = 64
"""Arrays and objects inside each other."""

BROTLI_PART = 2**18
MOST_PARTS = 50_000
"""Arrays and objects of a report; each takes some hundred bytes of memory, whatever its length."""


class ReportRefused(RequestFault):
    """The body is none that reports come in."""

    code = "bad_report"


class ReportTooLarge(ReportRefused):
    """The body is too large, unpacks to too much, or is nested too deep."""

    code = "report_too_large"
    http_status = 413


def unpacked(body: bytes, encoding: str) -> bytes:
    """Undo the `Content-Encoding` of a body.

    Raises:
        ReportTooLarge: it unpacks to more than `LARGEST`; no more than that was unpacked.
        ReportRefused: it is not what its encoding says, or that is none of ours.
    """
    for name in reversed([each.strip().lower() for each in encoding.split(",") if each.strip()]):
        unpack = _ENCODINGS.get(name)
        if unpack is None:
            further = " `exai[brotli]` is not installed here." if name == "br" else ""
            raise ReportRefused(
                f"The encoding {ascii(name)[:40]} is not known here. Send gzip, deflate, or the body as it is.{further}"
            )
        try:
            body = unpack(body)
        except _DAMAGES:
            raise ReportRefused(f"The body is no {name}, although `Content-Encoding` says so.") from None
    if len(body) > LARGEST:
        raise _too_large()
    return body


def decoded(text: bytes) -> Any:
    """Decode JSON; what cannot be stored or shown in its texts is for whoever reads them.

    Raises:
        ReportTooLarge: it is nested too deep, or has too many parts.
        ValueError: it is no JSON.
    """
    if text.count(b"[") + text.count(b"{") > MOST_PARTS:
        raise ReportTooLarge(f"The report has more than {MOST_PARTS} arrays and objects. Send less of it.")
    try:
        value = _decoded(text)
    except RecursionError:
        raise _too_deep() from None
    if isinstance(value, dict | list) and _is_deeper(value):
        raise _too_deep()
    return value


def _decoded(text: bytes) -> Any:
    """Decode JSON; `json` takes numbers beyond every range too, and U+FFFD stands for half a surrogate pair."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(repaired(text.decode("utf-8", "replace")))


def _too_deep() -> ReportTooLarge:
    return ReportTooLarge(f"The report is nested more than {MOST_DEPTH} deep. Send less of it.")


def _is_deeper(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _too_large() -> ReportTooLarge:
    return ReportTooLarge(
        f"The report is larger than {LARGEST} bytes when it is unpacked. Send less at once."
    )


def _inflated(body: bytes, window: int) -> bytes:
    unpacking = zlib.decompressobj(window)
    whole = unpacking.decompress(body, LARGEST + 1)
    if len(whole) > LARGEST:
        raise _too_large()
    if not unpacking.eof:
        raise zlib.error("it is cut off")
    return whole


def _gunzipped(body: bytes) -> bytes:
    return _inflated(body, 16 + zlib.MAX_WBITS)


def _undeflated(body: bytes) -> bytes:
    """Undo `deflate`: zlib (RFC 9110, 8.4.1.2), or what some send in its place."""
    try:
        return _inflated(body, zlib.MAX_WBITS)
    except zlib.error:
        return _inflated(body, -zlib.MAX_WBITS)


def _unbrotlied(body: bytes) -> bytes:
    """Undo `br` (RFC 7932), a part at a time: the library ends a part some way behind its bound."""
    unpacking = brotli.Decompressor()
    whole = unpacking.process(body, output_buffer_limit=BROTLI_PART)
    while not unpacking.is_finished():
        if len(whole) > LARGEST:
            raise _too_large()
        part = unpacking.process(b"", output_buffer_limit=BROTLI_PART)
        if not part and unpacking.can_accept_more_data():
            raise zlib.error("it is cut off")
        whole += part
    return bytes(whole)


def _as_it_is(body: bytes) -> bytes:
    return body


_ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "gzip": _gunzipped,
        "x-gzip": _gunzipped,
        "deflate": _undeflated,
        "identity": _as_it_is,
        **({} if brotli is None else {"br": _unbrotlied}),
    }
)
_DAMAGES = (zlib.error,) if brotli is None else (zlib.error, brotli.error)
