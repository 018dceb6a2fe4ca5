"""Stored pictures that lie at Kimi, as they are or made smaller, and are gone there with their file."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exai.callers import Caller, Door
from exai.providers.remote_files.faults import CopyUnwanted
from exai.storage.database import Database
from exai.storage.files.copy_rows import Status
from support.consulted_files import Talk
from support.copying import Copying
from support.desks import Desk
from support.drawn_pictures import drawn

pytestmark = pytest.mark.sqlite

CALLER = Caller.local(Door.WEBSOCKET)
OWNER = CALLER.subject
WIDE = drawn("PNG", 5_000, 20)
"""Kimi takes 4,096 pixels a side."""
AS_IT_IS = drawn("PNG", 60, 20)


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
async def copying(desk: Desk, database: Database, tmp_path: Path) -> Copying:
    kimi = {"upload_images_above_bytes": 0}
    return Copying(desk.emulator, database, tmp_path / ".other", desk.clock, kimi, keep_free_bytes=0)


@pytest.fixture
async def talk(desk: Desk, copying: Copying, database: Database, tmp_path: Path) -> Talk:
    return Talk(database, tmp_path, Desk(desk.emulator, copying.router, desk.clock))


@pytest.fixture(autouse=True)
async def closed(copying: Copying) -> AsyncIterator[None]:
    yield
    await copying.router.close()


@pytest.mark.parametrize("content", [WIDE, AS_IT_IS], ids=["made smaller", "as it is"])
async def test_the_copy_goes_with_the_file_it_was_made_of(
    content: bytes, talk: Talk, copying: Copying
) -> None:
    handle = await talk.put("a.png", content, OWNER)
    await talk.ask(handle, model="kimi-k3", caller=CALLER)
    (copy,) = await copying.rows()
    made_of = None if content == AS_IT_IS else sha256_of(content)
    assert (copy.status, copy.origin_sha256) == (Status.READY, made_of)
    (sent,) = copying.there()
    assert copy.sha256 == sha256_of(sent.content)
    shelf = talk.sources.shelf
    shown = await shelf.details(OWNER, await shelf.get(OWNER, handle))
    assert [each.copy for each in shown.copies] == [copy.copy_id]
    removed = await shelf.remove(OWNER, handle)
    assert [each.copy_id for each in removed] == [copy.copy_id]
    proof = await shelf.proof(OWNER, handle)
    assert [(each.copy, each.status) for each in proof.copies] == [(copy.copy_id, "deleting")]


async def test_the_copy_stays_while_another_file_has_the_picture(talk: Talk, copying: Copying) -> None:
    first, second = [await talk.put(name, WIDE, OWNER) for name in ("a.png", "b.png")]
    await talk.ask(first, model="kimi-k3", caller=CALLER)
    await talk.sources.shelf.remove(OWNER, first)
    assert await copying.statuses() == [Status.READY]
    await talk.sources.shelf.remove(OWNER, second)
    assert await copying.statuses() == [Status.DELETING]


async def test_of_two_pictures_that_come_to_the_same_the_last_one_has_the_copy(
    talk: Talk, copying: Copying
) -> None:
    first = await talk.put("a.png", WIDE, OWNER)
    second = await talk.put("b.png", drawn("PNG", 5_000, 20, compress_level=0), OWNER)
    for handle in (first, second):
        await talk.ask(handle, model="kimi-k3", caller=CALLER)
    (copy,) = await copying.rows()
    assert copying.sent() == 1
    await talk.sources.shelf.remove(OWNER, first)
    assert await copying.statuses() == [Status.READY]
    removed = await talk.sources.shelf.remove(OWNER, second)
    assert [each.copy_id for each in removed] == [copy.copy_id]


@pytest.mark.parametrize("content", [WIDE, AS_IT_IS], ids=["made smaller", "as it is"])
async def test_a_file_that_is_removed_before_its_picture_is_sent_is_not_sent(
    content: bytes, talk: Talk, copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await talk.put("a.png", content, OWNER)
    begin = type(copying.copies).begin

    async def removed_first(*given: object) -> object:
        await talk.sources.shelf.remove(OWNER, handle)
        return await begin(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(type(copying.copies), "begin", removed_first)
    with pytest.raises(CopyUnwanted, match="not sent"):
        await talk.ask(handle, model="kimi-k3", caller=CALLER)
    assert (copying.there(), await copying.rows()) == ([], [])


async def test_a_picture_of_nobody_is_sent_whatever_is_removed(
    talk: Talk, copying: Copying, tmp_path: Path
) -> None:
    (tmp_path / "wide.png").write_bytes(WIDE)
    await talk.sources.shelf.remove(OWNER, await talk.put("a.png", WIDE, OWNER))
    await talk.ask(images=[str(tmp_path / "wide.png")], model="kimi-k3", caller=CALLER)
    assert await copying.statuses() == [Status.READY]
