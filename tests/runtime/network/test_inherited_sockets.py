"""Sockets that are handed over with a start: which are taken, and what is said of the others."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exai.errors import StartFault
from exai.runtime.network import inherited_sockets
from exai.runtime.network.inherited_sockets import take_inherited

NAMES = {"mcp": "server.port", "errors": "server.errors_port"}
FIRST = 700
"""In the place of 3, which pytest needs."""


@pytest.fixture(autouse=True)
def _descriptors_from_700_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inherited_sockets, "FIRST", FIRST)


@pytest.fixture
def handed() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _hand_over(handed: ExitStack, *descriptors: int) -> None:
    for place, descriptor in enumerate(descriptors, FIRST):
        os.dup2(descriptor, place)
        handed.callback(_close, place)


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return  # it was taken, and closed


def _environ(count: object, names: str) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names, "HOME": "/"}


def test_listening_sockets_are_taken_by_name_and_their_variables_away(handed: ExitStack) -> None:
    one = handed.enter_context(socket.create_server(("127.0.0.1", 0)))
    other = handed.enter_context(socket.create_server(("127.0.0.1", 0)))
    _hand_over(handed, one.fileno(), other.fileno())
    environ = _environ(2, "errors:mcp")
    taken = take_inherited(environ, NAMES)
    for each in taken.values():
        handed.enter_context(each)
    assert {name: each.getsockname() for name, each in taken.items()} == {
        "errors": one.getsockname(),
        "mcp": other.getsockname(),
    }
    assert environ == {"HOME": "/"}
    assert not any(each.get_inheritable() for each in taken.values())


@pytest.mark.parametrize("pid", ["", "1", "x"])
def test_what_is_meant_for_another_process_is_left(pid: str) -> None:
    environ = {**_environ(1, "mcp"), "LISTEN_PID": pid}
    assert take_inherited(environ, NAMES) == {}
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize("count", ["", "two", "-1", "²"])
def test_a_count_that_is_none_is_one_sentence(count: str) -> None:
    with pytest.raises(StartFault, match="is no number of sockets"):
        take_inherited(_environ(count, "mcp"), NAMES)


@pytest.mark.parametrize(
    ("count", "names"), [(1, ""), (1, "exai.socket"), (2, "mcp"), (2, "mcp:mcp"), (10**9, "mcp")]
)
def test_names_that_fit_no_port_are_one_sentence_that_says_which_do(count: int, names: str) -> None:
    with pytest.raises(StartFault, match=r"FileDescriptorName=.*`mcp` \(server\.port\), `errors`"):
        take_inherited(_environ(count, names), NAMES)


def test_a_file_and_a_descriptor_that_is_closed_are_no_sockets(handed: ExitStack, tmp_path: Path) -> None:
    with pytest.raises(StartFault, match="'mcp', descriptor 700, is no socket"):
        take_inherited(_environ(1, "mcp"), NAMES)
    file = handed.enter_context((tmp_path / "file").open("w"))
    _hand_over(handed, file.fileno())
    with pytest.raises(StartFault, match="'mcp', descriptor 700, is no socket"):
        take_inherited(_environ(1, "mcp"), NAMES)


@pytest.mark.parametrize("kind", ["silent", "datagram", "unix"])
def test_a_socket_that_takes_no_connections_is_one_sentence(handed: ExitStack, kind: str) -> None:
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    one = handed.enter_context(
        socket.socket(family, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
    )
    first = handed.enter_context(socket.create_server(("127.0.0.1", 0)))
    _hand_over(handed, first.fileno(), one.fileno())
    with pytest.raises(StartFault, match="'errors' is no TCP socket that listens"):
        take_inherited(_environ(2, "mcp:errors"), NAMES)
