"""`exai notify`: webhooks are listed, tried, and what they were told is shown; never their whole address."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai import config
from exai.cli import build_app
from exai.config.watching.notify import Notify, key_of
from exai.errors import StartFault
from exai.monitoring.notification.signing import new_secret
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.notices.deliveries import Deliveries
from exai.storage.notices.writing import Notice, NoticeWriter, Targets
from support.webhook_targets import webhook_target

SECRET = new_secret()
CHAT = "https://chat.example.org/services/T0/B0/aSecretPath"


async def exai(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), ["notify", *arguments]))


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The webhooks of the settings."""
    found: list[dict[str, object]] = [{"url": CHAT, "format": "text", "kinds": ["error.new"]}]
    monkeypatch.setenv("EXAI_NOTIFY__WEBHOOKS", json.dumps(found))
    monkeypatch.setenv("EXAI_NOTIFY__SECRET", SECRET)
    return found


async def test_what_a_webhook_was_announced_is_listed_without_its_address(
    data_dir: Path, hooks: list[dict[str, object]]
) -> None:
    clock, targets = SystemClock(), Targets.of(Notify.model_validate({"webhooks": hooks}))
    database = await Database.open(config.Database(), data_dir)
    NoticeWriter(database, targets).write_soon(
        Notice("error.new", "E-1", "KeyError", {"seen": 1}), clock.utc()
    )
    deliveries = Deliveries(database, clock)
    await deliveries.end("msg_none", "sent")
    await deliveries.pass_new()
    (delivery_id,) = await deliveries.due()
    await deliveries.take(delivery_id)
    await deliveries.note_failure(delivery_id, "status 500")
    await database.close()

    listed = json.loads((await exai("list", "--json")).stdout)
    assert [(each["address"], each["waiting"], each["last_failure"]) for each in listed] == [
        ("https://chat.example.org:443", 1, "status 500")
    ]
    (told,) = json.loads((await exai("deliveries", "--state", "due", "--json")).stdout)
    assert (told["webhook"], told["kind"], told["id"], told["attempts"]) == (1, "error.new", "E-1", 1)
    for text in ((await exai("list")).stdout, (await exai("deliveries")).stdout):
        assert "status 500" in text
        assert "aSecretPath" not in text


async def test_a_message_is_posted_to_each_webhook_and_its_answer_is_said(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_target() as target:
        there = [{"url": target.url, "private": True}, {"url": f"{target.url}/no", "private": True}]
        monkeypatch.setenv("EXAI_NOTIFY__WEBHOOKS", json.dumps(there))
        monkeypatch.setenv("EXAI_NOTIFY__SECRET", SECRET)
        tried = await exai("test")
        assert tried.exit_code == 1
        assert tried.stdout.splitlines() == [
            f"1  http://127.0.0.1:{target.port}  accepted",
            f"2  http://127.0.0.1:{target.port}  status 404",
        ]
        assert (await exai("test", "1")).exit_code == 0
    assert [each.verified_by(SECRET)["type"] for each in target.received] == ["test", "test"]
    assert isinstance((await exai("test", "3")).exception, StartFault)


@pytest.mark.usefixtures("data_dir")
async def test_without_webhooks_it_says_where_they_are_named() -> None:
    assert "notify.webhooks" in (await exai("list")).stdout
    assert "notify.webhooks" in str((await exai("test")).exception)
    assert (await exai("deliveries")).stdout == "Nothing.\n"
    assert len(key_of((await exai("secret")).stdout.strip())) == 32
