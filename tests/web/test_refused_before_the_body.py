"""A request that its head condemns is answered at once, on both ports: its body is neither asked for nor waited for."""

import pytest
from starlette.responses import Response

from exai.web.bodies import StreamedBody, WholeBody
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route
from support.two_ports import PORTS, PortName, two_ports


async def take(request: AuthorizedRequest) -> Response:
    return Response(await request.whole_body())


ROUTES = (
    Route(("PUT",), "/things/{id}", take, scope="files", body=WholeBody(1_000, 30.0)),
    Route(("PUT",), "/streams/{id}", take, scope="files", body=StreamedBody(1_000)),
)
CONDEMNED: dict[str, tuple[str, str, dict[str, str], int]] = {
    "host": ("PUT", "/things/1", {"Host": "evil.example"}, 421),
    "origin": ("PUT", "/things/1", {"Origin": "https://evil.example"}, 403),
    "path": ("PUT", "/thing/1", {}, 404),
    "no token": ("PUT", "/things/1", {}, 401),
    "no token for a stream": ("PUT", "/streams/1", {}, 401),
    "bad token": ("PUT", "/streams/1", {"Authorization": "Bearer nonsense"}, 401),
    "method": ("POST", "/streams/1", {"Authorization": "Bearer rich"}, 405),
    "scope": ("PUT", "/streams/1", {"Authorization": "Bearer poor"}, 403),
    "size": ("PUT", "/things/1", {"Authorization": "Bearer rich", "Content-Length": "1001"}, 413),
}


@pytest.mark.parametrize("port", PORTS)
async def test_what_its_head_condemns_is_answered_without_a_byte_of_the_body(
    port: PortName, subtests: pytest.Subtests
) -> None:
    async with two_ports(ROUTES) as ports:
        ports.authenticator.issue("rich", "alice", "files")
        ports.authenticator.issue("poor", "bob", "errors")
        for why, (method, path, headers, status) in CONDEMNED.items():
            for sent in ({"Expect": "100-continue"}, {}):
                with subtests.test(why=why, sent=sent):
                    async with ports.wire(port) as wire:
                        wire.send_head(method, path, {"Content-Length": "900"} | sent | headers)
                        if not sent:
                            wire.writer.write(b"x")  # and nothing more
                        answer = await wire.answer()
                        assert answer.status == status
                        if status == 405:
                            assert answer.headers["allow"] == "PUT"
                        if status in {401, 403} and why != "origin":
                            assert answer.headers["www-authenticate"].startswith('Bearer realm="exai"')


@pytest.mark.parametrize("port", PORTS)
async def test_a_body_is_asked_for_once_its_head_is_judged(port: PortName) -> None:
    async with two_ports(ROUTES) as ports:
        rich = ports.authenticator.issue("rich", "alice", "files")
        async with ports.wire(port) as wire:
            wire.send_head("PUT", "/things/1", rich | {"Expect": "100-continue", "Content-Length": "5"})
            assert await wire.status() == 100
            wire.writer.write(b"hello")
            assert (await wire.answer()).body == b"hello"
