"""Documents whose pages are pictures, with the emulated Kimi, which keeps files and reads their text."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exai.consulting.answer import AnswerReport
from exai.files.faults import NoText, SecretFound
from exai.storage.database import Database
from exai.storage.files.copy_rows import Status
from support.consulted_files import Talk
from support.copying import Copying
from support.desks import Desk
from support.document_parts import scan

pytestmark = pytest.mark.sqlite

RECOGNISED = "   1│[emulated recognition of page 1: it holds no text]\n"


@pytest.fixture
async def copying(desk: Desk, database: Database, tmp_path: Path) -> AsyncIterator[Copying]:
    opened = Copying(desk.emulator, database, tmp_path / ".other", desk.clock, keep_free_bytes=0)
    yield opened
    await opened.router.close()


@pytest.fixture
def talk(desk: Desk, copying: Copying, database: Database, tmp_path: Path) -> Talk:
    return Talk(database, tmp_path, Desk(desk.emulator, copying.router, desk.clock))


async def test_a_scan_is_read_by_kimi_once_and_nothing_is_left_there(
    talk: Talk, copying: Copying, tmp_path: Path
) -> None:
    content = scan()
    (tmp_path / "scan.pdf").write_bytes(content)
    answer = await talk.ask(str(tmp_path / "scan.pdf"), model="kimi-k2.6")
    assert RECOGNISED in talk.text
    (shown,) = AnswerReport.of(answer).material
    assert (shown.kind, shown.extracted_by, shown.whole) == ("pdf", "kimi", True)
    assert await copying.statuses() == [Status.DELETING]
    before = len(talk.desk.emulator.log.requests)
    handle = await talk.put("again.pdf", content)
    await talk.ask(handle, model="glm-5.3")
    assert RECOGNISED in talk.text
    assert len(talk.desk.emulator.log.requests) == before + 1


async def test_a_scan_is_sent_to_no_provider_that_does_not_answer(talk: Talk, copying: Copying) -> None:
    handle = await talk.put("scan.pdf", scan())
    with pytest.raises(NoText, match=r"Models of Kimi .* `images`"):
        await talk.ask(handle, model="glm-5.3")
    assert copying.there() == []
    assert talk.desk.emulator.log.requests == []


async def test_a_scan_whose_bytes_hold_a_secret_is_not_sent(talk: Talk, copying: Copying) -> None:
    handle = await talk.put("scan.pdf", scan() + b"%ghp_" + b"Ab3d" * 9 + b"\n")
    with pytest.raises(SecretFound, match="github-pat, at byte"):
        await talk.ask(handle, model="kimi-k2.6")
    assert copying.there() == []
    await talk.ask(handle, model="kimi-k2.6", send_secrets=True)
    assert RECOGNISED in talk.text
