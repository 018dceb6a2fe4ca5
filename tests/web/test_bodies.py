"""How much of a body is read, and how long it is waited for: exactly, on a clock that jumps."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.types import Message

from exai.web.bodies import Body, ClientGone, StreamedBody, WholeBody, pieces
from exai.web.faults import BodyTooLarge, BodyTooSlow

pytestmark = pytest.mark.virtual_time

KIB = 1024
FOREVER_S = 1e9


class Sender:
    """Sends each piece after its pause; one that is `None` closes the connection."""

    def __init__(self, *sendings: tuple[float, bytes | None], ends: bool = True) -> None:
        self._sendings = iter(sendings)
        self._left = len(sendings)
        self._ends = ends
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        pause, piece = next(self._sendings, (FOREVER_S, b""))
        await asyncio.sleep(pause)
        self._left -= 1
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": self._left > 0 or not self._ends}


async def read(sender: Sender, rule: Body, declared: int | None = None) -> bytes:
    return b"".join([piece async for piece in pieces(sender.receive, rule, declared)])


async def refused_after(sender: Sender, rule: Body) -> float:
    """Seconds until the sender is refused for being slow."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(BodyTooSlow):
        await read(sender, rule)
    return asyncio.get_running_loop().time() - began


def steadily(bytes_per_s: int, seconds: int) -> Iterable[tuple[float, bytes]]:
    return ((1.0, bytes(bytes_per_s)) for _ in range(seconds))


@pytest.mark.parametrize("rule", [WholeBody(10, 60.0), StreamedBody(10)])
async def test_more_than_a_body_may_have_is_refused_unread_where_it_says_so(rule: Body) -> None:
    sender = Sender((0, b"x" * 11))
    with pytest.raises(BodyTooLarge, match="10 bytes"):
        await read(sender, rule, declared=11)
    assert sender.asked == 0


@pytest.mark.parametrize("rule", [WholeBody(10, 60.0), StreamedBody(10)])
async def test_more_than_a_body_may_have_is_refused_at_the_piece_that_exceeds_it(rule: Body) -> None:
    sender = Sender((0, b"x" * 10), (0, b"x"), (0, b"x"))
    with pytest.raises(BodyTooLarge):
        await read(sender, rule, declared=10)
    assert sender.asked == 2
    assert await read(Sender((0, b"12345"), (0, b""), (0, b"67890")), rule) == b"1234567890"


async def test_pieces_are_handed_on_one_by_one_and_none_is_asked_for_before() -> None:
    sender = Sender((0, b"a"), (0, b"b"))
    body = pieces(sender.receive, StreamedBody(10), None)
    assert (await anext(body), sender.asked) == (b"a", 1)
    assert (await anext(body), sender.asked) == (b"b", 2)
    assert await anext(body, None) is None


async def test_a_client_that_goes_in_between_is_no_shorter_body() -> None:
    for rule in (WholeBody(10, 60.0), StreamedBody(10)):
        with pytest.raises(ClientGone):
            await read(Sender((0, b"a"), (0, None)), rule)


async def test_a_whole_body_that_stops_is_refused_by_how_much_had_come() -> None:
    rule = WholeBody(2**20, within_s=60.0)
    assert await refused_after(Sender(ends=False), rule) == pytest.approx(5)
    assert await refused_after(Sender((0, bytes(40 * KIB)), ends=False), rule) == pytest.approx(15)
    assert await refused_after(Sender((0, bytes(900 * KIB)), ends=False), rule) == pytest.approx(60)


async def test_a_whole_body_may_take_no_longer_than_its_limit_however_steadily_it_comes() -> None:
    rule = WholeBody(2**20, within_s=20.0)
    assert await refused_after(Sender(*steadily(8 * KIB, 100)), rule) == pytest.approx(20)
    assert len(await read(Sender(*steadily(8 * KIB, 19)), rule)) == 19 * 8 * KIB


async def test_a_streamed_body_at_its_rate_may_take_for_ever() -> None:
    rule = StreamedBody(2**30, idle_s=5.0, bytes_per_s=4 * KIB)
    assert len(await read(Sender(*steadily(4 * KIB, 100_000)), rule)) == 100_000 * 4 * KIB


@pytest.mark.parametrize("quickly", [0, 4 * KIB, 2**28])
async def test_a_streamed_body_that_stops_is_refused_after_the_same_time_however_much_had_come(
    quickly: int,
) -> None:
    rule = StreamedBody(2**30, idle_s=7.0, bytes_per_s=4 * KIB)
    assert await refused_after(Sender((0, bytes(quickly)), ends=False), rule) == pytest.approx(7)


async def test_a_streamed_body_that_trickles_is_refused_although_it_never_stops() -> None:
    rule = StreamedBody(2**30, idle_s=5.0, bytes_per_s=4 * KIB)
    assert await refused_after(Sender((0, bytes(2**20)), *steadily(KIB, 100)), rule) == pytest.approx(
        20 / 3, abs=1
    )


async def test_a_reader_that_is_slow_itself_does_not_count_against_the_sender() -> None:
    rule = StreamedBody(2**20, idle_s=5.0, bytes_per_s=4 * KIB)
    size = 0
    async for piece in pieces(Sender(*[(0.0, bytes(100))] * 10).receive, rule, None):
        size += len(piece)
        await asyncio.sleep(60)
    assert size == 1_000
