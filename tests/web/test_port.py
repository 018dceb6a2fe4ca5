"""What a request passes before its route answers it, and in which order; what becomes of a handler that fails."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exai import config
from exai.callers import Caller, Door
from exai.errors import ExaiError, StoreFailed, TooManyAttempts, Unauthenticated, UnknownTool
from exai.events.events import CallerRefused, Event, IncidentRecorded
from exai.runtime.clock import ManualClock
from exai.web.auth_gate import AuthGate
from exai.web.bodies import StreamedBody, WholeBody
from exai.web.browser_sessions import COOKIE, BrowserSessions
from exai.web.hosts import HostRule
from exai.web.port import HttpPort
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route
from support.asgi import AsgiReply, asgi_scope, ask_app
from support.scripted_authenticator import ScriptedAuthenticator

OWN = "http://127.0.0.1:8080"
POST = ("POST",)


async def nothing_is_read() -> Message:
    raise AssertionError("a byte of the body was asked for")


async def answer(request: AuthorizedRequest) -> Response:
    return JSONResponse({"params": dict(request.params)})


async def size(request: AuthorizedRequest) -> Response:
    if request.query.get("streamed"):
        return JSONResponse(sum([len(piece) async for piece in request.streamed_body()]))
    return JSONResponse(len(await request.whole_body()))


class Port:
    """A port with some routes, and who may ask."""

    def __init__(self, *routes: Route, cookies: bool = True) -> None:
        self.authenticator = ScriptedAuthenticator()
        self.alice = self.authenticator.issue("alice", "alice", "files")
        self.browsers = BrowserSessions(ManualClock(), self.authenticator.end_of)
        self.events: list[Event] = []
        publish = self.events.append
        self.app = HttpPort(
            routes,
            door=Door.OPERATIONS,
            hosts=HostRule(config.Server()),
            gate=AuthGate(self.authenticator, publish, browsers=self.browsers if cookies else None),
            publish=publish,
            headers={b"x-port": b"yes"},
        )

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> AsgiReply:
        """One request; without a `body` none may be asked for."""

        async def receive() -> Message:
            return {"type": "http.request", "body": body or b"", "more_body": False}

        reply = await self.ask_with(nothing_is_read if body is None else receive, method, path, headers or {})
        assert reply.header("x-port") == "yes"
        return reply

    async def ask_with(self, receive: Receive, method: str, path: str, headers: dict[str, str]) -> AsgiReply:
        """One request, whose body comes from `receive`."""
        sent = {"host": "127.0.0.1:8080"} | {name.lower(): value for name, value in headers.items()}
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        return await ask_app(self.app, asgi_scope(method, path, raw), receive)


def of(**changes: Any) -> Route:
    return replace(Route(POST, "/x", size, scope="files", body=WholeBody(10, 5.0)), **changes)


async def test_everything_about_a_head_is_judged_in_order_and_before_a_byte_of_the_body() -> None:
    port = Port(of(), Route(READ, "/open", answer, is_open=True))
    bad = {"authorization": "Bearer nonsense"}
    poor = port.authenticator.issue("poor", "bob", "errors")
    for headers, method, path, status in (
        ({"host": "evil.example", "origin": "https://evil.example"}, "PUT", "/none", 421),
        ({"origin": "https://evil.example"}, "PUT", "/none", 403),
        (bad, "PUT", "/none", 404),
        (bad, "PUT", "/x", 401),
        (poor, "PUT", "/x", 405),
        (poor, "POST", "/x", 403),
        (bad, "PUT", "/open", 405),
        (port.alice | {"content-length": "11"}, "POST", "/x", 413),
    ):
        asked = {"expect": "100-continue", "content-length": "3"} | headers
        assert (await port.ask(method, path, asked)).status == status
    assert (await port.ask("POST", "/x", port.alice, b"123")).json == 3


async def test_an_address_with_nul_is_refused_in_path_and_query() -> None:
    port = Port(Route(READ, "/x/{id}", answer, scope="files"))
    for path in ("/x/a\0b", "/x/7?q=tool:%00", "/x/7?%00"):
        refused = await port.ask("GET", path, port.alice)
        assert (refused.status, "%00" in refused.json["error"]["message"]) == (400, True), path
        assert (await port.ask("GET", path)).status == 401
    assert (await port.ask("GET", "/x/7?q=%2500", port.alice)).status == 200


async def test_a_path_says_which_methods_it_has_to_whom_its_first_row_lets_in() -> None:
    port = Port(of(path="/x/{id}"), Route(("DELETE",), "/x/{id}", answer, needs_token=True))
    reply = await port.ask("PATCH", "/x/7", port.alice)
    assert (reply.status, reply.header("allow")) == (405, "POST, DELETE")
    assert (await port.ask("DELETE", "/x/7", port.alice)).json == {"params": {"id": "7"}}


async def test_a_row_says_whether_a_cookie_will_do_and_whether_a_token_must_be_sent() -> None:
    port = Port(
        Route(READ, "/seen", answer, scope="files", accepts_cookie=True),
        Route(READ, "/told", answer, scope="files"),
        Route(READ, "/made", answer, scope="files", needs_token=True),
    )
    alice = await port.authenticator.authenticate(
        [(b"authorization", b"Bearer alice")], door=Door.OPERATIONS, address="127.0.0.1"
    )
    cookie = {"cookie": f"{COOKIE}={port.browsers.sign_in(alice)}"}
    statuses = {path: (await port.ask("GET", path, cookie)).status for path in ("/seen", "/told", "/made")}
    assert statuses == {"/seen": 200, "/told": 401, "/made": 401}
    assert (await port.ask("GET", "/seen", cookie | {"sec-fetch-site": "cross-site"})).status == 403
    local = Port(*port.app.table)
    local.authenticator._callers.clear()
    statuses = {path: (await local.ask("GET", path)).status for path in ("/seen", "/told", "/made")}
    assert statuses == {"/seen": 200, "/told": 200, "/made": 401}


async def test_a_change_without_a_token_comes_from_the_ports_own_page_where_cookies_are_taken() -> None:
    local, elsewhere = Port(of(scope=None)), Port(of(scope=None), cookies=False)
    for port in (local, elsewhere):
        port.authenticator._callers.clear()
    other_port = "http://127.0.0.1:6274"
    assert (await local.ask("POST", "/x", {"origin": other_port})).json["error"]["code"] == "not_our_page"
    assert (await local.ask("POST", "/x")).status == 403
    assert (await local.ask("POST", "/x", {"origin": OWN}, b"")).status == 200
    assert (await elsewhere.ask("POST", "/x", {"origin": other_port}, b"")).status == 200


async def test_refusals_have_the_form_of_their_row_and_the_headers_of_the_gate() -> None:
    def other_form(fault: ExaiError, _: Scope) -> Response:
        return PlainTextResponse(f"<{fault.code}>", 499)

    port = Port(of(path="/json"), of(path="/other", fault_form=other_form))
    bad = {"authorization": "Bearer nonsense"}
    as_json, otherwise = await port.ask("POST", "/json", bad), await port.ask("POST", "/other", bad)
    assert (as_json.status, as_json.json["error"]["code"]) == (401, "unauthenticated")
    assert (otherwise.status, otherwise.body) == (499, b"<unauthenticated>")
    for reply in (as_json, otherwise):
        assert (reply.header("www-authenticate") or "").startswith(
            'Bearer realm="exai", error="invalid_token"'
        )


@pytest.mark.virtual_time
async def test_a_body_that_does_not_come_is_answered_by_408_and_the_connection_closed() -> None:
    port = Port(of())

    async def silent() -> Message:
        await asyncio.Event().wait()
        return {}

    reply = await port.ask_with(silent, "POST", "/x", port.alice)
    assert (reply.status, reply.header("connection")) == (408, "close")


async def test_a_handler_reads_the_body_that_its_row_has_and_no_other() -> None:
    streamed = of(path="/streamed", body=StreamedBody(10))
    port = Port(of(), streamed, of(path="/none", body=None))
    assert (await port.ask("POST", "/streamed?streamed=1", port.alice, b"123")).json == 3
    for path in ("/streamed", "/x?streamed=1", "/none", "/none?streamed=1"):
        assert (await port.ask("POST", path, port.alice, b"")).status == 500


async def test_a_revoked_token_ends_a_streamed_body_and_an_expired_one_may_finish() -> None:
    port = Port(of(body=StreamedBody(10)))
    for ending, status in (("expired", 200), ("revoked", 401)):
        headers = port.authenticator.issue(ending, "alice", "files")
        left = [b"1", b"2", b"3"]

        async def receive(ending: Any = ending, left: list[bytes] = left) -> Message:
            piece = left.pop(0)
            port.authenticator.end(ending, ending)
            return {"type": "http.request", "body": piece, "more_body": bool(left)}

        reply = await port.ask_with(receive, "POST", "/x?streamed=1", headers)
        assert reply.status == status
        assert len(left) == (0 if ending == "expired" else 2)


async def test_a_client_that_is_gone_is_answered_nothing_and_is_no_incident() -> None:
    port = Port(of())

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    assert (await port.ask_with(gone, "POST", "/x", port.alice)).messages == []
    assert port.events == []


async def test_what_nobody_foresaw_is_an_incident_before_the_answer_and_breaks_it_off_after() -> None:
    async def fails(_: AuthorizedRequest) -> Response:
        raise RuntimeError("canary")

    async def fails_late(_: AuthorizedRequest) -> ASGIApp:
        async def app(_: Scope, __: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("canary")

        return app

    port = Port(
        Route(READ, "/early/{id}", fails, is_open=True), Route(READ, "/late", fails_late, is_open=True)
    )
    reply = await port.ask("GET", "/early/secret")
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
    assert b"canary" not in reply.body
    with pytest.raises(RuntimeError):
        await port.ask("GET", "/late")
    incidents = [event for event in port.events if isinstance(event, IncidentRecorded)]
    assert [incident.where for incident in incidents] == ["/early/{id}", "/late"]
    assert incidents[0].incident_id in reply.json["error"]["message"]


async def test_refused_callers_are_published_by_every_layer() -> None:
    faults = {
        "/ticket": Unauthenticated("This ticket is not good.", presented=True),
        "/often": TooManyAttempts("Later.", retry_after_s=3.0),
        "/away": StoreFailed("Away."),
        "/unknown": UnknownTool("No such tool."),
    }

    def failing(fault: Exception) -> Any:
        async def handler(_: AuthorizedRequest) -> Response:
            raise fault

        return handler

    port = Port(*(Route(READ, path, failing(fault), is_open=True) for path, fault in faults.items()), of())
    replies = {path: await port.ask("GET", path) for path in faults}
    assert {path: reply.status for path, reply in replies.items()} == {
        "/ticket": 401,
        "/often": 429,
        "/away": 503,
        "/unknown": 404,
    }
    assert replies["/often"].header("retry-after") == "3"
    await port.ask("POST", "/x", {"authorization": "Bearer nonsense"})
    assert port.events == [
        CallerRefused(Door.OPERATIONS, "unauthenticated"),
        CallerRefused(Door.OPERATIONS, "too_many_attempts"),
        CallerRefused(Door.OPERATIONS, "unauthenticated"),
    ]


async def test_an_open_route_has_no_caller() -> None:
    async def who(request: AuthorizedRequest) -> Response:
        caller: Caller = request.caller
        return PlainTextResponse(caller.subject)

    port = Port(Route(READ, "/open", who, is_open=True), Route(READ, "/mine", who))
    assert (await port.ask("GET", "/open", port.alice)).status == 500
    assert (await port.ask("GET", "/mine", port.alice)).body == b"alice"
