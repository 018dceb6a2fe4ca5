"""Renewing tokens, and the keys that verify them, over HTTP."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from support.open_doors import Doors, open_doors

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GOOD = "grant_type=refresh_token&refresh_token=good"


async def post(
    doors: Doors, data: Any, headers: Mapping[str, str] = FORM
) -> tuple[int, Any, Mapping[str, str]]:
    url = doors.http.removesuffix("/mcp") + "/auth/token"
    async with aiohttp.ClientSession() as http, http.post(url, data=data, headers=headers) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.json(), response.headers


async def test_a_refresh_token_brings_new_tokens(doors: Doors) -> None:
    status, told, _ = await post(doors, GOOD)
    assert status == 200
    assert 90 <= told.pop("expires_in") <= 100
    assert told == {
        "access_token": "a",
        "token_type": "Bearer",
        "refresh_token": "r",
        "scope": "tools:models tools:status",
    }


@pytest.mark.parametrize(
    ("data", "headers", "error"),
    [
        (GOOD, {"Content-Type": "application/json"}, "invalid_request"),
        (GOOD, {"Content-Type": "text/plain"}, "invalid_request"),
        ("", FORM, "invalid_request"),
        ("refresh_token=good", FORM, "unsupported_grant_type"),
        ("grant_type=password&username=a&password=b", FORM, "unsupported_grant_type"),
        ("grant_type=refresh_token", FORM, "invalid_request"),
        ("grant_type=refresh_token&refresh_token=", FORM, "invalid_request"),
        (f"{GOOD}&refresh_token=good", FORM, "invalid_request"),
        (f"{GOOD}&grant_type=refresh_token", FORM, "invalid_request"),
        (GOOD + "".join(f"&a{number}=b" for number in range(20)), FORM, "invalid_request"),
        (GOOD + "&a=" + "x" * 20_000, FORM, "invalid_request"),
        (GOOD.encode() + b"\xff", FORM, "invalid_request"),
    ],
)
async def test_a_malformed_token_request_is_refused(
    doors: Doors, data: Any, headers: Mapping[str, str], error: str
) -> None:
    status, told, _ = await post(doors, data, headers)
    assert (status, told["error"]) == (400, error)
    assert told["error_description"]
    assert doors.authority.asked == []


async def test_refused_refresh_tokens_are_counted_by_address(doors: Doors) -> None:
    for _ in range(3):
        status, told, _ = await post(doors, "grant_type=refresh_token&refresh_token=guess")
        assert (status, told["error"]) == (400, "invalid_grant")
    status, told, headers = await post(doors, "grant_type=refresh_token&refresh_token=guess")
    assert (status, told["error"]) == (429, "too_many_attempts")
    assert 0 < int(headers["Retry-After"]) <= 60
    assert (await post(doors, GOOD))[0] == 200, (
        "who shares an address with one that guesses renews all the same"
    )


async def guess(doors: Doors, forwarded: str) -> int:
    guessed = "grant_type=refresh_token&refresh_token=guess"
    return (await post(doors, guessed, {**FORM, "X-Forwarded-For": forwarded}))[0]


async def test_behind_a_proxy_that_is_trusted_refusals_are_counted_by_the_address_that_it_tells() -> None:
    async with open_doors(server={"trusted_proxies": ["127.0.0.0/8"]}) as doors:
        for _ in range(3):
            assert await guess(doors, "203.0.113.7") == 400
        assert await guess(doors, "203.0.113.7") == 429
        assert await guess(doors, "198.51.100.1, 203.0.113.7") == 429, (
            "what the client made up counts for nothing"
        )
        assert await guess(doors, "203.0.113.7, 127.0.0.9") == 429, (
            "another trusted proxy on the way is passed over"
        )
        assert await guess(doors, "203.0.113.8") == 400


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"]], ids=["nobody", "another"])
async def test_whom_nobody_trusts_makes_up_no_address(trusted: list[str]) -> None:
    async with open_doors(server={"trusted_proxies": trusted}) as doors:
        for number in range(3):
            assert await guess(doors, f"203.0.113.{number}") == 400
        assert await guess(doors, "203.0.113.9") == 429


async def test_a_client_that_goes_on_with_a_spent_token_guesses_nothing(doors: Doors) -> None:
    for _ in range(5):
        status, told, _ = await post(doors, "grant_type=refresh_token&refresh_token=spent")
        assert (status, told["error"]) == (400, "invalid_grant")


async def test_requests_held_back_and_ended_together_are_counted_one_by_one(doors: Doors) -> None:
    form = b"grant_type=refresh_token&refresh_token=guess"
    head = f"POST /auth/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(form)}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n"
    port = urlsplit(doors.http).port
    peers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
    for _, writer in peers:
        writer.write(head.encode() + form[:-1])
    for _, writer in peers:
        writer.write(form[-1:])
    answers = [await reader.read() for reader, _ in peers]
    for _, writer in peers:
        writer.close()
        await writer.wait_closed()
    assert sorted(answer.split()[1] for answer in answers) == [b"400"] * 3 + [b"429"] * 5


async def test_with_the_store_away_a_client_gets_retry_after(doors: Doors) -> None:
    doors.authority.store_is_away = True
    for _ in range(5):
        status, told, headers = await post(doors, GOOD)
        assert (status, told["error"], headers["Retry-After"]) == (503, "temporarily_unavailable", "1")
    doors.authority.store_is_away = False
    assert (await post(doors, GOOD))[0] == 200


async def test_the_published_keys_are_cached(doors: Doors) -> None:
    url = doors.http.removesuffix("/mcp") + "/.well-known/jwks.json"
    async with aiohttp.ClientSession() as http:
        doors.authority.store_is_away = True
        async with http.get(url) as response:
            assert response.status == 503
        doors.authority.store_is_away = False

        for _ in range(20):
            async with http.get(url) as response:
                assert response.headers["Cache-Control"] == "max-age=60"
                assert await response.json() == {"keys": [{"kid": "one"}]}
    assert doors.authority.asked == ["jwks", "jwks"]
