"""Two principals on one daemon: whatever belongs to one is to the other as if it did not exist."""

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import fmean
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from exai import config
from exai.auth.scopes import DASHBOARD, MODELS, STATUS
from exai.storage.database import Database
from exai.storage.schema import conversations, exchanges
from support.guarded_daemon import GuardedDaemon, bearer, guarded_daemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.session_socket import session_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDEMPOTENCY_KEY = "exai/idempotency-key"
LEAST_SAMPLES, MOST_SAMPLES = 60, 600
SAME_TIME = 0.25
"""By how much two times may differ that are the same: part of the smaller one."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedDaemon]:
    async with guarded_daemon(tmp_path_factory.mktemp("ownership") / "data") as started:
        yield started


@asynccontextmanager
async def socket_of(guarded: GuardedDaemon, subject: str, *further: str) -> AsyncIterator[McpSocket]:
    headers = bearer(await guarded.token(MODELS, STATUS, *further, subject=subject))
    async with mcp_socket(guarded.daemon.mcp_ws, headers=headers) as client:
        yield client


async def chat(client: McpSocket, prompt: str, handle: str | None = None) -> dict[str, Any]:
    arguments = {"prompt": prompt} if handle is None else {"prompt": prompt, "continuation_id": handle}
    return await client.tool("chat", arguments)


def without_ids(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer but for what is another each time."""
    error = {**answer["_meta"]["exai/error"]}
    assert error.pop("call_id").startswith("call_")
    return {**answer, "_meta": {"exai/error": error}}


def is_same_time(one: list[float], other: list[float]) -> bool:
    """Whether the same is done in both: their quickest five, as all that a busy machine adds is in the slower ones."""
    low, high = sorted(fmean(sorted(times)[:5]) for times in (one, other))
    return high - low < SAME_TIME * low


async def kept(guarded: GuardedDaemon) -> dict[str, tuple[str, list[str]]]:
    """Of each conversation its owner and its questions, as the database has them."""
    database = await Database.open(config.Database(), guarded.its_data)
    try:
        owners = dict(
            await database.read(
                lambda connection: [
                    (row[0], row[1])
                    for row in connection.execute(
                        select(conversations.c.conversation_id, conversations.c.owner)
                    )
                ]
            )
        )
        said = await database.read(
            lambda connection: connection.execute(
                select(exchanges.c.conversation_id, exchanges.c.number, exchanges.c.question).order_by(
                    exchanges.c.conversation_id, exchanges.c.number
                )
            ).all()
        )
    finally:
        await database.close()
    found: dict[str, tuple[str, list[str]]] = {each: (owner, []) for each, owner in owners.items()}
    for conversation_id, number, question in said:
        assert number == len(found[conversation_id][1]) + 1
        found[conversation_id][1].append(question)
    return found


async def test_anothers_conversation_answers_as_an_unknown_one_and_in_the_same_time(
    guarded: GuardedDaemon,
) -> None:
    async with socket_of(guarded, "alice") as alice, socket_of(guarded, "mallory") as mallory:
        handle = whole(await chat(alice, "the secret is pineapple"))["continuation_id"]

        async def refusal(of: str) -> tuple[dict[str, Any], float]:
            began = time.perf_counter()
            answer = await chat(mallory, "go on", of)
            return answer, time.perf_counter() - began

        took: dict[str, list[float]] = {"another's": [], "unknown": []}
        answers: list[dict[str, Any]] = []
        for number in range(MOST_SAMPLES):
            unknown = f"conv_{secrets.token_urlsafe(18)}"
            for kind in sorted(took, reverse=bool(number % 2)):
                answer, seconds = await refusal(handle if kind == "another's" else unknown)
                answers.append(without_ids(answer))
                took[kind].append(seconds)
            if number >= LEAST_SAMPLES and is_same_time(*took.values()):
                break
        assert is_same_time(*took.values()), took
        assert all(answer == answers[0] for answer in answers)
        assert answers[0]["_meta"]["exai/error"]["code"] == "unknown_conversation"
        assert "pineapple" not in str(answers[0])
        going_on = await chat(alice, "what was it?", handle)
        assert whole(going_on)["context"]["exchanges_included"] == 1


async def test_anothers_run_is_answered_as_an_unknown_one(guarded: GuardedDaemon) -> None:
    step: dict[str, Any] = {
        "step": "Shall we shard pineapples?",
        "step_number": 1,
        "total_steps": 3,
        "next_step_required": True,
    }
    async with socket_of(guarded, "alice") as alice, socket_of(guarded, "mallory") as mallory:
        handle = whole(await alice.tool("think", step))["continuation_id"]
        second = {**step, "step": "Go on.", "step_number": 2}
        answers = [
            without_ids(await mallory.tool("think", {**second, "continuation_id": each}))
            for each in (handle, f"conv_{secrets.token_urlsafe(18)}")
        ]
        assert answers[0] == answers[1]
        assert answers[0]["_meta"]["exai/error"]["code"] == "unknown_run"
        assert "pineapple" not in str(answers[0])
        going_on = whole(await alice.tool("think", {**second, "continuation_id": handle}))
        assert "2 count" in going_on["answer"], "it is still the step of its owner that comes next"


async def test_two_who_race_for_one_conversation_leave_it_to_its_owner(guarded: GuardedDaemon) -> None:
    async with (
        socket_of(guarded, "alice") as alice,
        socket_of(guarded, "mallory") as mallory,
        socket_of(guarded, "alice") as alice_elsewhere,
    ):
        begun = await asyncio.gather(*(chat(alice, f"begin {number}") for number in range(4)))
        handles = [whole(answer)["continuation_id"] for answer in begun]

        async def of_alice(number: int, handle: str) -> dict[str, Any]:
            return await chat((alice, alice_elsewhere)[number % 2], f"alice {number}", handle)

        async def of_mallory(number: int, handle: str) -> dict[str, Any]:
            return await chat(mallory, f"mallory {number}", handle)

        rounds = list(itertools.product(range(10), handles))
        answers = await asyncio.gather(
            *(ask(number, handle) for number, handle in rounds for ask in (of_alice, of_mallory))
        )
        hers, others = answers[::2], answers[1::2]
        assert [answer["isError"] for answer in hers] == [False] * len(rounds)
        assert {answer["_meta"]["exai/error"]["code"] for answer in others} == {"unknown_conversation"}
    found = await kept(guarded)
    for handle in handles:
        owner, questions = found[handle]
        assert owner == "alice"
        assert sorted(questions[1:]) == sorted(f"alice {number}" for number in range(10))


async def test_one_idempotency_key_of_two_principals_is_two_operations(guarded: GuardedDaemon) -> None:
    keys = [secrets.token_hex(8) for _ in range(10)]
    async with socket_of(guarded, "alice") as alice, socket_of(guarded, "bob") as bob:

        async def operate(client: McpSocket, key: str, prompt: str) -> dict[str, Any]:
            params = {"name": "chat", "arguments": {"prompt": prompt}, "_meta": {IDEMPOTENCY_KEY: key}}
            answer = await client.request("tools/call", params)
            result: dict[str, Any] = answer["result"]
            return result

        def recalled(answer: dict[str, Any]) -> str | None:
            how: str | None = answer.get("_meta", {}).get("exai/idempotent-call", {}).get("recalled")
            return how

        both = await asyncio.gather(
            *(
                operate(client, key, f"{name} asks {key}")
                for key in keys
                for client, name in ((alice, "alice"), (bob, "bob"))
            )
        )
        for key, hers, his in zip(keys, both[::2], both[1::2], strict=True):
            assert whole(hers)["answer"].endswith(f"alice asks {key}")
            assert whole(his)["answer"].endswith(f"bob asks {key}")
            assert (recalled(hers), recalled(his)) == (None, None)
        again = await operate(alice, keys[0], f"alice asks {keys[0]}")
        assert recalled(again) == "stored"
        assert whole(again) == whole(both[0])
        # Another's key with another's arguments is no reuse: nothing tells that it was ever used.
        async with socket_of(guarded, "carol") as carol:
            fresh = await operate(carol, keys[0], "carol asks something else")
            assert (fresh["isError"], recalled(fresh)) == (False, None)


async def test_failed_calls_are_shown_to_their_caller_alone(guarded: GuardedDaemon) -> None:
    async with socket_of(guarded, "dave") as dave, socket_of(guarded, "erin") as erin:
        failed = await chat(dave, "go on", "conv_of_nobody")
        call_id = failed["_meta"]["exai/error"]["call_id"]

        async def errors_of(client: McpSocket) -> list[dict[str, Any]]:
            told = await client.tool("status", {"section": "errors"})
            found: list[dict[str, Any]] = whole(told)["errors"]
            return found

        async with asyncio.timeout(30):
            while not (shown := await errors_of(dave)):  # its row's end is committed a moment later
                pass
        assert [each["call_id"] for each in shown] == [call_id]
        assert await errors_of(erin) == []


async def test_a_caller_sees_their_own_calls_and_the_dashboard_scope_everybodys(
    guarded: GuardedDaemon,
) -> None:
    async with (
        socket_of(guarded, "hal") as hal,
        socket_of(guarded, "ida") as ida,
        socket_of(guarded, "operator", DASHBOARD) as operator,
    ):
        answer = await chat(hal, "count my herons")
        handle, call_id = answer["structuredContent"]["continuation_id"], whole(answer)["call_id"]

        async def told(client: McpSocket, name: str) -> dict[str, Any]:
            return await client.tool("status", {"id": name})

        def owner_and_id(result: dict[str, Any]) -> tuple[str | None, str]:
            call = result["structuredContent"]["call"]
            return call.get("caller"), call["call_id"]

        for name in (call_id, handle):
            assert owner_and_id(await told(hal, name)) == (None, call_id)
            assert owner_and_id(await told(operator, name)) == ("hal", call_id)
            refused, unknown = await told(ida, name), await told(ida, f"{name[:-3]}zzz")
            assert refused["isError"]
            assert without_ids(refused) == _named(without_ids(unknown), f"{name[:-3]}zzz", name)
        assert owner_and_id(await told(hal, "last")) == (None, call_id)
        for other in (ida, operator):
            assert (await told(other, "last"))["isError"], "they have made no call"


def _named(answer: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    """An answer that says one name, as if it said another one."""
    renamed: dict[str, Any] = json.loads(json.dumps(answer).replace(before, after))
    return renamed


async def test_each_caller_sees_usage_of_their_own(guarded: GuardedDaemon) -> None:
    async with socket_of(guarded, "fay") as fay, socket_of(guarded, "gus") as gus:

        async def usage_of(client: McpSocket) -> list[dict[str, Any]]:
            told = await client.tool("status", {"section": "usage"})
            found: list[dict[str, Any]] = whole(told)["usage"]
            return found

        assert await usage_of(fay) == []
        cost = sum([whole(await chat(fay, f"count {number}"))["cost_usd"] for number in range(3)])
        async with asyncio.timeout(30):
            while [(each["calls"], each["model"]) for each in await usage_of(fay)] != [(3, "glm-5.3")]:
                pass  # the rows' ends are committed a moment later
        (hers,) = await usage_of(fay)
        assert hers["cost_usd"] == pytest.approx(cost)
        assert (hers["unanswered"], hers["without_price"]) == (0, 0)
        assert await usage_of(gus) == []


async def test_a_session_is_resumed_by_its_owner_alone_also_in_a_race(
    guarded: GuardedDaemon,
) -> None:
    url = guarded.daemon.mcp_ws
    alice = bearer(await guarded.token(MODELS, subject="alice"))
    mallory = bearer(await guarded.token(MODELS, STATUS, subject="mallory"))
    async with session_socket(url, alice) as first:
        opened = await first.open()

    async def tries(headers: dict[str, str], frame: dict[str, Any]) -> dict[str, Any]:
        async with session_socket(url, headers) as socket:
            return await socket.resume(frame, last=0)

    guess = {**opened, "session": secrets.token_urlsafe(16)}
    wrong = {**opened, "secret": secrets.token_urlsafe(32)}
    answers = await asyncio.gather(
        *(tries(mallory, frame) for frame in (opened, guess, wrong) for _ in range(5)), tries(alice, opened)
    )
    *refused, resumed = answers
    assert resumed["t"] == "resumed"
    assert all(answer == refused[0] for answer in refused)
    assert refused[0]["code"] == "unknown_session"
    assert await tries(alice, wrong) == refused[0]
