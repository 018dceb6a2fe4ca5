"""Which names and origins come in, on every port."""

import pytest

from exai import config
from exai.web.hosts import HostRule

RULE = HostRule(
    config.Server(allowed_hosts=("Exai.Example",), allowed_origins=("https://exai.example", "app://desk"))
)


def status(host: str | None, *origins: str) -> int | None:
    headers = [] if host is None else [(b"host", host.encode())]
    headers += [(b"origin", origin.encode()) for origin in origins]
    refused = RULE.refusal(headers)
    return None if refused is None else refused.status


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8080", "exai.example:443"],
)
def test_names_of_this_daemon_come_in(host: str) -> None:
    assert status(host) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "exai.example.evil.example",
        "localhost.evil.example",
        "evil.example#localhost",
        "localhost@evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "evil@127.0.0.1",
        "127.0.0.1/evil.example",
        "127.0.0.1:evil",
        "127.0.0.1:80:80",
        "127.0.0.1?evil",
        "127.0.0.1#evil",
        "127.0.0.1\\evil",
        " 127.0.0.1",
        "[::1]evil",
        "[127.0.0.1@::1]",
        "0.0.0.0",
    ],
)
def test_every_other_name_is_misdirected(host: str | None) -> None:
    assert status(host) == 421


def test_two_host_headers_are_refused() -> None:
    assert RULE.refusal([(b"host", b"localhost"), (b"host", b"localhost")]) is not None


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:5173", "https://127.0.0.1", "http://[::1]:1", "https://EXAI.example", "app://desk"],
)
def test_origins_of_this_machine_and_those_allowed_come_in(origin: str) -> None:
    assert status("localhost", origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://exai.example",
        "https://exai.example:8443",
        "file://localhost",
        "http://localhost.evil.example",
        "https://exai.example.evil.example",
        "http://[::1",
        "http://evil@localhost",
        "http://localhost:evil",
        "http://localhost/evil",
        "http:localhost",
    ],
)
def test_every_other_origin_is_forbidden(origin: str) -> None:
    assert status("localhost", origin) == 403
    assert status("localhost", "http://localhost", origin) == 403


@pytest.mark.parametrize("host", ["10.0.0.5", "fe80::1", "Exai.Internal"])
def test_the_address_that_is_bound_is_a_name_of_this_daemon(host: str) -> None:
    named = f"[{host}]:8079" if ":" in host else f"{host}:8079"
    assert HostRule(config.Server(host=host)).refusal([(b"host", named.encode())]) is None
    assert HostRule(config.Server()).refusal([(b"host", named.encode())]) is not None


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_is_no_name(host: str) -> None:
    named = f"[{host}]" if ":" in host else host
    assert HostRule(config.Server(host=host)).refusal([(b"host", named.encode())]) is not None
