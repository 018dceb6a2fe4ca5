"""The port of errors through clients that others wrote: reported, found, decided and read, in both revisions."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from support.daemons import Daemon
from support.foreign_clients import ForeignClient, Refused, python_client, typescript_client
from support.nodes import Node

Connecting = Callable[[Daemon, Node], AbstractAsyncContextManager[ForeignClient]]
CLIENTS: dict[str, Connecting] = {
    "typescript-websocket": lambda daemon, node: typescript_client(
        node, daemon.errors.replace("http://", "ws://"), "exai-errors"
    ),
    "python-http-legacy": lambda daemon, _: python_client(
        f"{daemon.errors}/mcp", mode="legacy", expected_version="2025-11-25"
    ),
    "python-http-auto": lambda daemon, _: python_client(
        f"{daemon.errors}/mcp", mode="auto", expected_version="2026-07-28"
    ),
}


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_reports_finds_decides_and_reads(demonstration: Daemon, node: Node, name: str) -> None:
    async with CLIENTS[name](demonstration, node) as client:
        assert set(await client.tools()) == {
            *("errors_list", "errors_show", "errors_report", "errors_investigate", "errors_decide"),
            *("observations", "observation_decide"),
        }
        report = {"exceptions": [{"type": "OutOfStock", "message": "no basket"}], "event_id": "once"}
        for _ in range(2):
            reported = await client.call("errors_report", report)
            assert not reported.is_error, reported.text
        group = reported.structured["group"]["group"]
        assert (reported.structured["repeated"], reported.structured["group"]["seen"]) == (True, 1)
        listed = await client.call("errors_list", {"sort": "cost"})
        assert [each["group"] for each in listed.structured["groups"]] == [group]
        decision = {"group": group, "decision": "resolve", "version": 1}
        assert (await client.call("errors_decide", decision)).structured["group"]["state"] == "resolved"
        stale = await client.call("errors_decide", decision)
        assert stale.is_error
        assert "version 2" in stale.text
        assert "OutOfStock" in await client.read(f"exai://errors/{group}")
        wrong = await client.call("errors_list", {"sort": "loudest"})
        assert wrong.is_error
        assert "sort" in wrong.text
        with pytest.raises(Refused):
            await client.call("chat", {"prompt": "x"})
        with pytest.raises(Refused):
            await client.read("exai://errors/E-99999")
