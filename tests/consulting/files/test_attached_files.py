"""Videos and documents that models are shown as they are, and documents that their provider reads."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exai.callers import Caller, Door
from exai.consulting.answer import AnswerReport, ShownFile
from exai.errors import AbilityMissing, BadArguments, ProviderFailed
from exai.files.faults import NoText, SecretFound
from exai.files.secrets.scanner import SecretScanner
from exai.providers.remote_files.faults import FileTooLargeForProvider
from exai.storage.database import Database
from exai.storage.files.copy_rows import Status
from exai_emulator import Fault
from support import documents as written
from support.consulted_files import Talk
from support.copying import Copying
from support.desks import Desk
from support.document_parts import docx_of, pdf_of, scan

pytestmark = pytest.mark.sqlite

CALLER = Caller.local(Door.WEBSOCKET)
OWNER = CALLER.subject
MP4 = b"\0\0\0\x20ftypisom" + b"x" * 5_000
DOCUMENT = pdf_of(["the plan"])


@pytest.fixture
async def copying(desk: Desk, database: Database, tmp_path: Path) -> AsyncIterator[Copying]:
    opened = Copying(desk.emulator, database, tmp_path / ".other", desk.clock, keep_free_bytes=0)
    yield opened
    await opened.router.close()


Open = Callable[..., Talk]
"""Opens conversations with files, with settings of their own."""


@pytest.fixture
def open_talk(copying: Copying, desk: Desk, database: Database, tmp_path: Path) -> Open:
    return partial(Talk, database, tmp_path, Desk(desk.emulator, copying.router, desk.clock))


@pytest.fixture
def talk(open_talk: Open) -> Talk:
    return open_talk()


def parts(talk: Talk) -> list[dict[str, Any]]:
    """The parts of the latest question but its text."""
    content = talk.messages[-1]["content"]
    return [] if isinstance(content, str) else [part for part in content if part["type"] != "text"]


async def shown(talk: Talk, *names: str, model: str | None, **fields: Any) -> tuple[ShownFile, ...]:
    answer = await talk.ask(*names, model=model, caller=CALLER, **fields)
    return AnswerReport.of(answer).material


async def test_a_video_is_sent_to_kimi_once_and_named_by_its_id(
    talk: Talk, copying: Copying, tmp_path: Path
) -> None:
    (tmp_path / "clip.mp4").write_bytes(MP4)
    (item,) = await shown(talk, str(tmp_path / "clip.mp4"), model="kimi-k3")
    assert (item.id, item.kind, item.attached) == ("E1", "mp4", True)
    (file,) = copying.there()
    assert (file.purpose, file.content, file.filename.endswith(".mp4")) == ("video", MP4, True)
    assert parts(talk) == [{"type": "video_url", "video_url": {"url": f"ms://{file.id}"}}]
    assert talk.text.startswith(f"<<<ATTACHED E1 {tmp_path}/clip.mp4 mp4 sha256:")
    handle = await talk.put("again.mp4", MP4, OWNER)
    await shown(talk, handle, model=None)
    assert (copying.sent(), talk.desk.emulator.log.requests[-1].provider) == (1, "kimi")
    (row,) = await copying.rows()
    assert row.upload_method == "video"
    for each in await talk.sources.shelf.newest(OWNER, 10):
        await talk.sources.shelf.remove(OWNER, each.file_id)
    assert await copying.statuses() == [Status.DELETING]


async def test_a_video_that_has_gone_is_sent_again(talk: Talk, copying: Copying) -> None:
    handle = await talk.put("clip.mp4", MP4, OWNER)
    await shown(talk, handle, model="kimi-k3")
    copying.emulator.accounts["kimi"].files.remove(copying.there()[0].id)
    await shown(talk, handle, model="kimi-k3")
    (again,) = copying.there()
    assert (copying.sent(), parts(talk)[0]["video_url"]["url"]) == (2, f"ms://{again.id}")


async def test_a_later_question_names_what_is_no_longer_attached(talk: Talk) -> None:
    handle = await talk.put("clip.mp4", MP4, OWNER)
    first = await talk.ask(handle, model="kimi-k3", caller=CALLER)
    await talk.ask(model="kimi-k3", caller=CALLER, continuation_id=first.conversation_id)
    assert talk.messages[1]["content"].endswith("[1 file shown here, no longer attached]")


@pytest.mark.parametrize("model", ["glm-5.3", "glm-5.3-flash"])
async def test_a_model_that_is_shown_no_videos_is_refused_before_anything_is_sent(
    model: str, talk: Talk, copying: Copying
) -> None:
    handle = await talk.put("clip.mp4", MP4, OWNER)
    with pytest.raises(AbilityMissing, match=r"kind mp4.*kimi-k3"):
        await talk.ask(handle, model=model, caller=CALLER)
    assert talk.desk.emulator.log.requests == []


async def test_where_no_copies_are_kept_no_model_is_shown_a_video(
    desk: Desk, database: Database, tmp_path: Path
) -> None:
    talk = Talk(database, tmp_path, desk)
    handle = await talk.put("clip.mp4", MP4, OWNER)
    with pytest.raises(AbilityMissing, match="shown no file of kind mp4"):
        await talk.ask(handle, model="kimi-k3", caller=CALLER)
    assert desk.emulator.log.requests == []


async def test_what_is_too_large_or_holds_a_secret_is_not_sent(talk: Talk, copying: Copying) -> None:
    secret = await talk.put("a.mp4", MP4 + b" ghp_" + b"Ab3d" * 9 + b" ", OWNER)
    with pytest.raises(SecretFound):
        await talk.ask(secret, model="kimi-k3", caller=CALLER)
    handle = await talk.put("clip.mp4", MP4, OWNER)
    copies = copying.router.file_hosts["kimi"].copies
    assert copies is not None
    video = replace(copies.files.dialect.purposes["video"], max_bytes=4_000)
    copies.files.dialect = replace(copies.files.dialect, purposes={"video": video})
    with pytest.raises(FileTooLargeForProvider, match="for video"):
        await talk.ask(handle, model="kimi-k3", caller=CALLER)
    assert talk.desk.emulator.log.requests == []


async def test_what_leaves_as_it_is_is_looked_at_once(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[bytes] = []
    spans = SecretScanner.spans

    def counted(scanner: SecretScanner, content: bytes) -> Any:
        looked_at.append(content)
        return spans(scanner, content)

    monkeypatch.setattr(SecretScanner, "spans", counted)
    handle = await talk.put("clip.mp4", MP4, OWNER)
    for _ in range(2):
        await talk.ask(handle, model="kimi-k3", caller=CALLER)
    assert looked_at.count(MP4) == 1


async def test_a_scan_is_shown_as_it_is_to_a_model_of_glm_that_sees(talk: Talk, copying: Copying) -> None:
    handle = await talk.put("scan.pdf", scan(), OWNER)
    (item,) = await shown(talk, handle, model="glm-5.3-flash")
    (file,) = copying.there("glm")
    assert (item.kind, item.attached, file.purpose) == ("pdf", True, "user_data")
    assert parts(talk) == [{"type": "file", "file": {"file_id": file.id}}]
    (row,) = await copying.rows("glm")
    assert row.upload_method == "part"


@pytest.mark.parametrize(
    ("model", "by", "uploads"),
    [("glm-5.3-flash", None, 1), ("kimi-k2.6", "kimi", 1), ("glm-5.3", "pdfium", 0)],
)
async def test_documents_are_read_by_their_provider_where_a_caller_asks_and_it_can(
    model: str, by: str | None, uploads: int, talk: Talk, copying: Copying
) -> None:
    handle = await talk.put("a.pdf", DOCUMENT, OWNER)
    for _ in range(2):
        (item,) = await shown(talk, handle, model=model, reads_documents="provider")
        assert (item.attached, item.extracted_by) == (by is None, by)
    assert copying.sent("kimi") + copying.sent("glm") == uploads
    (item,) = await shown(talk, handle, model=model)
    assert item.extracted_by == "pdfium"


async def test_nobody_takes_over_who_is_not_shown_the_same_files(talk: Talk, copying: Copying) -> None:
    handle = await talk.put("scan.pdf", scan(), OWNER)
    copying.emulator.faults.add("glm", Fault(error="500"))
    with pytest.raises(ProviderFailed):
        await talk.ask(handle, model="glm-5.3-flash", caller=CALLER, fallback_models=["kimi-k2.6"])
    assert copying.emulator.log.of("kimi") == []


@pytest.mark.parametrize("model", ["glm-5.3-flash", "kimi-k2.6"])
async def test_a_document_with_a_secret_in_its_text_does_not_leave_as_it_is(
    model: str, talk: Talk, copying: Copying
) -> None:
    token = "ghp_" + "Ab3d" * 9
    handle = await talk.put("a.docx", written.docx_of([f"token {token}"]), OWNER)
    answer = await talk.ask(handle, model=model, caller=CALLER, reads_documents="provider")
    assert copying.sent("kimi") + copying.sent("glm") == 0
    assert "«github-pat»" in talk.text
    assert token not in talk.text
    assert any("so it was read here and not sent" in note for note in answer.notes)
    await talk.ask(handle, model=model, caller=CALLER, reads_documents="provider", send_secrets=True)
    assert copying.sent("kimi") + copying.sent("glm") == 1


async def test_a_document_with_a_secret_in_its_header_is_read_here(talk: Talk, copying: Copying) -> None:
    token = "ghp_" + "Ab3d" * 9
    header = f"<hdr><p><t>{token}</t></p></hdr>"
    handle = await talk.put("a.docx", docx_of("one", header1=header), OWNER)
    answer = await talk.ask(handle, model="kimi-k2.6", caller=CALLER, reads_documents="provider")
    assert copying.sent("kimi") == 0
    assert any("holds what looks like a secret, so it was read here" in note for note in answer.notes)
    without_text = await talk.put("b.docx", docx_of(header1=header), OWNER)
    with pytest.raises(SecretFound, match=r"in its part word/header1\.xml"):
        await talk.ask(without_text, model="kimi-k2.6", caller=CALLER)
    assert copying.sent("kimi") == 0
    broken = await talk.put("c.docx", with_broken_part(), OWNER)
    answer = await talk.ask(broken, model="kimi-k2.6", caller=CALLER, reads_documents="provider")
    assert copying.sent("kimi") == 0
    assert any(
        "could not be looked through for secrets, so it was read here" in note for note in answer.notes
    )


def with_broken_part() -> bytes:
    """A document whose text can be read, and whose styles unpack to more than they may."""
    return docx_of("one", styles=" " * 30_000_000)


async def test_lines_of_a_document_are_lines_of_its_text(talk: Talk, copying: Copying) -> None:
    handle = await talk.put("a.docx", docx_of("one", "two", "three"), OWNER)
    name = f"exai://files/{handle}/lines/2-2"
    (item,) = await shown(talk, name, model="glm-5.3-flash", reads_documents="provider")
    assert (item.lines, item.extracted_by, copying.there("glm")) == ("2-2", "ooxml", [])


async def test_the_setting_has_documents_read_by_their_provider_unless_a_caller_asks_otherwise(
    open_talk: Open, copying: Copying
) -> None:
    talk = open_talk(extract="provider_first")
    handle = await talk.put("a.pdf", DOCUMENT, OWNER)
    (item,) = await shown(talk, handle, model="kimi-k2.6", reads_documents="here")
    assert (item.extracted_by, copying.sent()) == ("pdfium", 0)
    (item,) = await shown(talk, handle, model="kimi-k2.6")
    assert (item.extracted_by, copying.sent()) == ("kimi", 1)
    assert await copying.statuses() == [Status.DELETING]
    assert "the plan" in talk.text


async def test_what_a_provider_does_not_read_is_read_here_and_a_note_says_so(
    open_talk: Open, copying: Copying
) -> None:
    talk = open_talk(extract="provider_first")
    copying.emulator.accounts["kimi"].state.files.fails = True
    handle = await talk.put("a.pdf", DOCUMENT, OWNER)
    for _ in range(2):
        answer = await talk.ask(handle, model="kimi-k2.6", caller=CALLER)
    assert copying.sent() == 1  # it is not sent again to be refused
    assert [note for note in answer.notes if "did not read" in note] == [
        f"Kimi did not read `a.pdf ({handle})` (file_unreadable), so it was read here."
    ]
    assert AnswerReport.of(answer).material[0].extracted_by == "pdfium"


async def test_a_scan_is_refused_for_a_model_that_is_shown_neither_text_nor_file(open_talk: Open) -> None:
    talk = open_talk(extract="provider_first")
    handle = await talk.put("scan.pdf", scan(), OWNER)
    with pytest.raises(NoText, match=r"is a scan.*models of GLM that see"):
        await talk.ask(handle, model="glm-5.3", caller=CALLER)


async def test_where_none_may_leave_no_provider_reads_documents(
    desk: Desk, database: Database, tmp_path: Path
) -> None:
    talk = Talk(database, tmp_path, desk, extract="local_only")
    handle = await talk.put("a.pdf", DOCUMENT, OWNER)
    with pytest.raises(BadArguments, match=r"files\.extract"):
        await talk.ask(handle, model="kimi-k2.6", caller=CALLER, reads_documents="provider")
