"""What a proxy tells of its client, at every port: believed of those that are trusted, and of nobody else."""

import aiohttp

from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.guarded_daemon import bearer

REFUSALS = 2
"""That an address may have within a minute."""


def doors(daemon: DaemonInProcess) -> list[str]:
    """Where each port asks for a token."""
    return [daemon.mcp_http, f"{daemon.operations}/api/overview", f"{daemon.errors}/mcp"]


async def status(http: aiohttp.ClientSession, address: str, **headers: str) -> int:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.get(address, headers=bearer("nonsense") | told) as answer:
        return answer.status


async def test_refusals_are_counted_by_the_address_that_a_trusted_proxy_tells(
    start_in_process: StartInProcess,
) -> None:
    settings = {
        "EXAI_AUTH__MODE": "required",
        "EXAI_AUTH__FAILURES_PER_MINUTE": str(REFUSALS),
        "EXAI_SERVER__TRUSTED_PROXIES": '["127.0.0.0/8"]',
    }
    async with start_in_process(**settings) as daemon, aiohttp.ClientSession() as http:
        for number, door in enumerate(doors(daemon)):
            guesser = f"203.0.113.{number}"
            seen = [await status(http, door, X_Forwarded_For=guesser) for _ in range(REFUSALS + 1)]
            assert seen == [401] * REFUSALS + [429]
            made_up = f"198.51.100.1, {guesser}"
            assert await status(http, door, X_Forwarded_For=made_up) == 429
            assert await status(http, door, X_Forwarded_For=f"198.51.100.{100 + number}") == 401


async def test_without_one_an_address_that_a_client_makes_up_counts_for_nothing(
    start_in_process: StartInProcess,
) -> None:
    settings = {"EXAI_AUTH__MODE": "required", "EXAI_AUTH__FAILURES_PER_MINUTE": str(REFUSALS)}
    async with start_in_process(**settings) as daemon, aiohttp.ClientSession() as http:
        seen = [
            await status(http, door, X_Forwarded_For=f"203.0.113.{number}")
            for number, door in enumerate(doors(daemon) * 2)
        ]
        assert seen == [401] * REFUSALS + [429] * (len(seen) - REFUSALS)


async def test_a_forwarded_host_is_believed_of_nobody(start_in_process: StartInProcess) -> None:
    settings = {"EXAI_SERVER__TRUSTED_PROXIES": '["127.0.0.0/8"]'}
    async with start_in_process(**settings) as daemon, aiohttp.ClientSession() as http:
        for door in doors(daemon):
            assert await status(http, door, Host="evil.example", X_Forwarded_Host="127.0.0.1") == 421
            assert await status(http, door, X_Forwarded_Host="evil.example") != 421
