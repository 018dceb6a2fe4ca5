"""A browser signs in with a ticket, is known by its cookie, and by nothing but requests of the dashboard's own page."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from exai.auth.scopes import ADMIN, DASHBOARD, MODELS
from exai.auth.tickets import SESSION_S, TICKET_S
from exai.callers import Caller, Door
from exai.runtime.clock import ManualClock
from exai.web.browser_sessions import IDLE_S, MOST_BROWSERS, BrowserSessions, cookie_of, is_page_of_our_own
from support.operations_ports import HOST, OWN_ORIGIN, Port, filled

OpenPort = Callable[..., Awaitable[Port]]

SEEN_BY_COOKIE = "/api/overview"


async def signed_in(port: Port, subject: str = "local") -> str:
    """The cookie of a browser that has just signed in."""
    answer = await port.sign_in(await port.tickets.issue(subject))
    assert answer.status == 204
    return answer.cookie


async def look(port: Port, cookie: str, **headers: str) -> int:
    answer = await port.ask("GET", SEEN_BY_COOKIE, headers={"cookie": cookie, **headers})
    return answer.status


async def test_a_ticket_is_exchanged_for_a_cookie_that_scripts_and_other_hosts_never_see(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    answer = await port.sign_in(await port.tickets.issue("local"))
    assert answer.status == 204
    attributes = (answer.header("set-cookie") or "").split("; ")
    assert re.fullmatch(r"__Host-exai=[A-Za-z0-9_-]{43}", attributes[0])
    assert set(attributes[1:]) == {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}
    assert await look(port, answer.cookie) == 200
    told = (await port.ask("GET", SEEN_BY_COOKIE, headers={"cookie": answer.cookie})).json
    assert (told["you"]["subject"], told["you"]["scopes"]) == ("local", [DASHBOARD])


async def test_a_ticket_is_good_once_and_for_moments(open_port: OpenPort) -> None:
    port = await open_port()
    ticket = await port.tickets.issue("local")
    assert (await port.sign_in(ticket)).status == 204
    again = await port.sign_in(ticket)
    assert (again.status, again.header("set-cookie")) == (401, None)
    late = await port.tickets.issue("local")
    port.clock.advance(TICKET_S)
    assert (await port.sign_in(late)).status == 401
    for nonsense in ("", "ext_", f"ext_{'a' * 43}", "x" * 200, ticket.upper(), f"{ticket}\n"):
        assert (await port.sign_in(nonsense)).status == 401


async def test_tickets_that_are_over_are_dropped_and_none_is_kept_in_clear(open_port: OpenPort) -> None:
    port = await open_port()
    for _ in range(3):
        await port.tickets.issue("local")
    port.clock.advance(TICKET_S)
    ticket = await port.tickets.issue("local")
    rows = await port.database.read(
        lambda connection: connection.exec_driver_sql("SELECT * FROM dashboard_tickets").all()
    )
    assert len(rows) == 1
    assert ticket not in str(rows)
    assert ticket.removeprefix("ext_") not in str(rows)


async def test_tickets_that_are_guessed_make_the_address_wait_and_write_nothing(
    open_port: OpenPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = await open_port(failures_per_minute=3)
    written: list[object] = []
    write = port.database.write

    async def noted(operation: Any, parameters: Any) -> Any:
        written.append(operation)
        return await write(operation, parameters)

    monkeypatch.setattr(port.database, "write", noted)
    statuses = [(await port.sign_in(f"ext_{number:043}")).status for number in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert written == []
    assert (await port.sign_in(await port.tickets.issue("local"))).status == 204


SENT_BY_OTHERS = [
    {},
    {"origin": "http://127.0.0.1:3000"},
    {"origin": "http://localhost:8080"},
    {"origin": "http://127.0.0.1"},
    {"origin": f"http://{HOST}/"},
    {"origin": f"HTTP://{HOST}"},
]
"""What passes the rule of Host and Origin for all doors, and is not this port's own page."""


async def test_only_the_page_itself_signs_in_and_out(open_port: OpenPort) -> None:
    port = await open_port()
    cookie = await signed_in(port)
    ticket = await port.tickets.issue("local")
    for path in ("/api/sign-in", "/api/sign-out"):
        for headers in SENT_BY_OTHERS:
            answer = await port.ask(
                "POST", path, json_body={"ticket": ticket}, headers={**headers, "cookie": cookie}
            )
            assert (answer.status, answer.header("set-cookie")) == (403, None), headers
    assert await look(port, cookie) == 200
    assert (await port.sign_in(ticket)).status == 204


async def test_what_another_page_has_fetched_is_refused_although_the_cookie_comes_along(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    cookie = await signed_in(port)
    for site in ("cross-site", "same-site"):
        assert await look(port, cookie, **{"sec-fetch-site": site}) == 403
    for site in ("same-origin", "none"):
        assert await look(port, cookie, **{"sec-fetch-site": site}) == 200
    for origin in ("http://localhost:9", "null"):
        assert await look(port, cookie, origin=origin) == 403
    assert await look(port, cookie, origin=OWN_ORIGIN) == 200


async def test_in_local_mode_pages_of_other_ports_are_refused_too(open_port: OpenPort) -> None:
    port = await open_port(mode="local")
    for path in ("/metrics", "/api/overview", "/api/usage"):
        for site in ("cross-site", "same-site"):
            assert (await port.ask("GET", path, headers={"sec-fetch-site": site})).status == 403
        assert (await port.ask("GET", path, headers={"origin": "http://localhost:9"})).status == 403


async def test_a_cookie_opens_no_administration_and_makes_no_ticket(open_port: OpenPort) -> None:
    port = await open_port()
    cookie = await signed_in(port)
    for route in port.app.table:
        if route.needs_token:
            headers = {"cookie": cookie, "origin": OWN_ORIGIN}
            answer = await port.ask(route.methods[0], filled(route.path), json_body={}, headers=headers)
            assert answer.status == 401, route.path


async def test_a_ticket_needs_a_token_with_the_scope_and_is_bound_to_it(open_port: OpenPort) -> None:
    port = await open_port()
    issued = await port.authority.create("alice", "desk", [DASHBOARD], timedelta(minutes=10))
    answer = await port.ask("POST", "/api/tickets", token=issued.access_token)
    assert answer.status == 201
    assert answer.json["page"] == f"/#ticket={answer.json['ticket']}"
    cookie = (await port.sign_in(answer.json["ticket"])).cookie
    you = (await port.ask("GET", SEEN_BY_COOKIE, headers={"cookie": cookie})).json["you"]
    assert (you["subject"], you["signed_in_until"]) == ("alice", issued.expires_at)
    port.clock.advance(601)
    assert await look(port, cookie) == 401


async def test_a_revocation_ends_the_browsers_of_that_token_at_once(open_port: OpenPort) -> None:
    port = await open_port()
    cookies = {}
    for name in ("one", "two"):
        issued = await port.authority.create_key("alice", name, [DASHBOARD])
        ticket = (await port.ask("POST", "/api/tickets", token=issued.access_token)).json["ticket"]
        cookies[name] = (issued.token_id, (await port.sign_in(ticket)).cookie)
    await port.authority.revoke(cookies["one"][0])
    assert await look(port, cookies["one"][1]) == 401
    assert await look(port, cookies["two"][1]) == 200
    await port.authority.revoke_subject("alice")
    assert await look(port, cookies["two"][1]) == 401


async def test_a_revocation_between_ticket_and_sign_in_counts(open_port: OpenPort) -> None:
    port = await open_port()
    issued = await port.authority.create_key("alice", "desk", [DASHBOARD])
    ticket = (await port.ask("POST", "/api/tickets", token=issued.access_token)).json["ticket"]
    await port.authority.revoke(issued.token_id)
    cookie = (await port.sign_in(ticket)).cookie
    assert await look(port, cookie) == 401


async def test_who_was_let_in_by_the_command_line_is_ended_by_the_name_of_the_principal(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    cookie = await signed_in(port, "local")
    port.clock.advance(1)
    await port.authority.revoke_subject("local")
    assert await look(port, cookie) == 401
    port.clock.advance(1)
    assert await look(port, await signed_in(port, "local")) == 200


async def test_a_browser_is_signed_out_by_itself_by_time_and_by_absence(open_port: OpenPort) -> None:
    port = await open_port()
    cookie = await signed_in(port)
    left = await port.ask("POST", "/api/sign-out", headers={"cookie": cookie, "origin": OWN_ORIGIN})
    assert left.status == 204
    assert (left.header("set-cookie") or "").startswith("__Host-exai=; ")
    assert "Max-Age=0" in (left.header("set-cookie") or "")
    assert await look(port, cookie) == 401
    away = await signed_in(port)
    port.clock.advance(IDLE_S + 1)
    assert await look(port, away) == 401
    long = await signed_in(port)
    for _ in range(int(SESSION_S / 1800) - 1):
        port.clock.advance(1800)
        assert await look(port, long) == 200
    port.clock.advance(1800)
    assert await look(port, long) == 401


async def test_signing_in_anew_ends_what_the_browser_had_before(open_port: OpenPort) -> None:
    port = await open_port()
    before = await signed_in(port)
    answer = await port.sign_in(await port.tickets.issue("local"), cookie=before)
    assert answer.cookie != before
    assert await look(port, before) == 401
    assert await look(port, answer.cookie) == 200


OTHER_SPELLINGS = [
    "{0}; {0}",
    "__Host-exai=x; {0}",
    "{1}",
    "exai={2}",
    "__host-exai={2}",
    "\u00a0__Host-exai={2}",
    "__Host-exai ={2}",
    '__Host-exai="{2}"',
    "__Host-exai={2}x",
    "__Host-exai=",
    "$Version=1,{0}",
]


async def test_one_spelling_of_the_cookie_counts_and_no_other(open_port: OpenPort) -> None:
    port = await open_port()
    cookie = await signed_in(port)
    value = cookie.partition("=")[2]
    for spelled in OTHER_SPELLINGS:
        assert await look(port, spelled.format(cookie, cookie.replace("=", "-"), value)) == 401, spelled
    assert await look(port, f"theme=dark; {cookie};other=1") == 200


async def test_a_token_that_is_not_believed_is_not_made_good_by_a_cookie(open_port: OpenPort) -> None:
    port = await open_port()
    cookie = await signed_in(port)
    answer = await port.ask("GET", SEEN_BY_COOKIE, token="nonsense", headers={"cookie": cookie})
    assert answer.status == 401
    models = (await port.authority.create("alice", "agent", [MODELS, ADMIN])).access_token
    answer = await port.ask("GET", SEEN_BY_COOKIE, token=models, headers={"cookie": cookie})
    assert answer.status == 403


BODIES_OF_OTHER_FORMS = [
    (b'{"ticket": "x"}', "text/plain", 415),
    (b'{"ticket": "x"}', "application/x-www-form-urlencoded", 415),
    (b"ticket=x", "application/json", 400),
    (b'{"ticket": 7}', "application/json", 400),
    (b"{}", "application/json", 400),
    (b'{"ticket": "x", "subject": "root"}', "application/json", 400),
    (b"[" * 5_000, "application/json", 400),
    (b"\xff", "application/json", 400),
    (b" " * 20_000, "application/json", 413),
]


async def test_a_body_of_any_other_form_is_refused(open_port: OpenPort) -> None:
    port = await open_port()
    for body, kind, status in BODIES_OF_OTHER_FORMS:
        headers = {"origin": OWN_ORIGIN, "content-type": kind}
        answer = await port.ask("POST", "/api/sign-in", body=body, headers=headers)
        assert (answer.status, answer.header("set-cookie")) == (status, None), body[:40]


def test_pages_of_our_own_are_those_of_this_host_and_port_over_a_trustworthy_connection() -> None:
    def own(origin: str, host: str) -> bool:
        return is_page_of_our_own([(b"origin", origin.encode()), (b"host", host.encode())])

    assert own("http://127.0.0.1:8080", "127.0.0.1:8080")
    assert own("http://localhost:8080", "localhost:8080")
    assert own("http://[::1]:8080", "[::1]:8080")
    assert own("https://exai.example", "exai.example")
    assert not own("http://exai.example", "exai.example")
    assert not own("https://exai.example:8443", "exai.example")
    assert not own("null", "null")
    assert not own("http://someone@localhost", "someone@localhost")
    for no_host in ("[", "[::1", "]", "[localhost]x", "localhost:http", "", "\xff"):
        assert not own(f"http://{no_host}", no_host), no_host
    assert not is_page_of_our_own([(b"host", b"localhost")])
    twice = [(b"origin", b"http://localhost"), (b"origin", b"http://localhost"), (b"host", b"localhost")]
    assert not is_page_of_our_own(twice)


def test_browsers_are_bounded_and_the_longest_unseen_goes_first() -> None:
    browsers = BrowserSessions(ManualClock(), lambda _: None)
    caller = Caller(subject="local", door=Door.DASHBOARD)
    first, second = browsers.sign_in(caller), browsers.sign_in(caller)
    assert browsers.caller(first) is caller
    for _ in range(MOST_BROWSERS - 1):
        browsers.sign_in(caller)
    assert len(browsers) == MOST_BROWSERS
    assert browsers.caller(second) is None
    assert browsers.caller(first) is caller


def test_cookies_of_several_fields_are_one_list() -> None:
    assert cookie_of([(b"cookie", b"a=1"), (b"cookie", b"__Host-exai=x")]) == "x"
    assert cookie_of([(b"cookie", b"__Host-exai=x"), (b"cookie", b"__Host-exai=x")]) is None
    assert cookie_of([]) is None
