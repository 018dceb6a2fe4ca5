"""SIGTERM while peers are stuck in every way there is: none of them keeps the daemon past its deadline."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urlsplit

import pytest

from exai_emulator import Emulator, Persona
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.session_socket import ENVELOPE
from support.virtual_time import now

DRAIN_S = 20
LARGE = "Stuck. " * 20_000
CALLS = 10
"""Whose answers fill every buffer between the daemon and a peer that does not read."""
HEAD = "Host: localhost\r\n"
UPGRADE = (
    f"GET /mcp HTTP/1.1\r\n{HEAD}Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
PEERS = 3
"""Of each kind."""

Peer = Callable[[socket.socket], None]


def _frame(message: object) -> bytes:
    """A text frame as clients send it, under a mask of zeros."""
    payload = json.dumps(message).encode()
    return struct.pack("!BBQ4x", 0x81, 0x80 | 127, len(payload)) + payload


def _upgraded(peer: socket.socket, subprotocol: str) -> None:
    peer.sendall(f"{UPGRADE}Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n".encode())
    assert peer.recv(12) == b"HTTP/1.1 101"


def _call(prompt: str, number: int = 1) -> dict[str, object]:
    params = {"name": "chat", "arguments": {"prompt": prompt, "model": "glm-5.3"}, "_meta": ENVELOPE}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def reads_nothing_of_a_plain_socket(peer: socket.socket) -> None:
    _upgraded(peer, "mcp")
    for number in range(CALLS):
        peer.sendall(_frame(_call(LARGE, number)))


def reads_nothing_of_its_session(peer: socket.socket) -> None:
    _upgraded(peer, "exai.mcp.v1")
    peer.sendall(_frame({"t": "open", "credit": 100}))
    for number in range(1, CALLS + 1):
        peer.sendall(_frame({"t": "m", "s": number, "a": 0, "m": _call(LARGE, number)}))


def gives_no_credit(peer: socket.socket) -> None:
    _upgraded(peer, "exai.mcp.v1")
    peer.sendall(_frame({"t": "open", "credit": 0}))
    peer.sendall(_frame({"t": "m", "s": 1, "a": 0, "m": _call("Hello.")}))


def reads_nothing_of_its_answer(peer: socket.socket) -> None:
    body = json.dumps(_call(LARGE)).encode()
    peer.sendall(
        f"POST /mcp HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
        f"Mcp-Method: tools/call\r\nMcp-Name: chat\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def answers_no_close(peer: socket.socket) -> None:
    _upgraded(peer, "mcp")


def says_nothing(_: socket.socket) -> None:
    pass


def stops_in_the_head(peer: socket.socket) -> None:
    peer.sendall(UPGRADE.encode())


def stops_in_the_body(peer: socket.socket) -> None:
    peer.sendall(
        f"POST /mcp HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode()
    )


def stops_in_a_frame(peer: socket.socket) -> None:
    _upgraded(peer, "mcp")
    peer.sendall(_frame(_call("Hello."))[:-10])


def never_opens_its_session(peer: socket.socket) -> None:
    _upgraded(peer, "exai.mcp.v1")


KINDS: tuple[Peer, ...] = (
    reads_nothing_of_a_plain_socket,
    reads_nothing_of_its_session,
    gives_no_credit,
    reads_nothing_of_its_answer,
    answers_no_close,
    says_nothing,
    stops_in_the_head,
    stops_in_the_body,
    stops_in_a_frame,
    never_opens_its_session,
)
ASKED = PEERS * (CALLS + CALLS + 1 + 1)
"""Calls of all of them that reach the provider."""


@contextmanager
def _peer(daemon: DaemonInProcess) -> Iterator[socket.socket]:
    """A connection with as little room for what is not read as the system allows."""
    with closing(socket.socket()) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(30)
        peer.connect(("127.0.0.1", urlsplit(daemon.mcp_ws).port))
        yield peer


@pytest.mark.virtual_time
async def test_no_peer_however_stuck_keeps_the_daemon(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="echo", characters_per_frame=5_000)
    async with start_in_process(EXAI_SERVER__DRAIN_S=str(DRAIN_S)) as daemon:
        with ExitStack() as peers:
            for kind in KINDS:
                for _ in range(PEERS):
                    await asyncio.to_thread(kind, peers.enter_context(_peer(daemon)))
            await emulator.log.wait_for(lambda _: len(emulator.log.requests) == ASKED, timeout=60)
            daemon.signal()
            signalled_at = now()
            await daemon.ended()
            assert now() - signalled_at <= DRAIN_S + 2
