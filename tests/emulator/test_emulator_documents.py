"""Kimi's documents: their text, the limits and the forms in which it is given."""

import io
import re
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from exai_emulator import Emulator, EmulatorOptions, FileState
from support.documents import docx_of, numbered, pdf_of, pptx_of, scan_of, xlsx_of

MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(64)
OLD_DOC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
DATED = {"kimi-api-version": "2026-09-01-beta"}


class KimiFiles:
    """Kimi's files over plain HTTP."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._root = emulator.addresses.kimi + "/files"
        self._headers = {"Authorization": f"Bearer {emulator.addresses.kimi_key}"}

    async def ask(self, method: str, path: str = "", **options: Any) -> tuple[int, Any]:
        headers = {**self._headers, **options.pop("headers", {})}
        async with self._http.request(method, self._root + path, headers=headers, **options) as response:
            return response.status, await response.json(content_type=None)

    async def upload(
        self, content: bytes, filename: str, headers: dict[str, str] | None = None, **fields: str
    ) -> tuple[int, Any]:
        form = aiohttp.FormData(fields)
        form.add_field("file", io.BytesIO(content), filename=filename)
        return await self.ask("POST", data=form, headers=headers or {})

    async def text(self, content: bytes, filename: str) -> str:
        status, made = await self.upload(content, filename)
        assert (status, made["status"]) == (200, "ready"), made["status_details"]
        status, body = await self.ask("GET", f"/{made['id']}/content")
        assert (status, body["filename"]) == (200, made["filename"])
        return str(body["content"])


@pytest.fixture
def files(emulator: Emulator, http: aiohttp.ClientSession) -> KimiFiles:
    return KimiFiles(emulator, http)


async def test_the_text_of_documents_is_read(files: KimiFiles) -> None:
    lines = numbered(120)
    assert (await files.text(pdf_of(lines), "ledger.pdf")).splitlines() == lines
    assert (await files.text(docx_of(lines), "ledger.docx")).splitlines() == lines
    rows = [[line, number] for number, line in enumerate(lines)]
    assert f"{lines[7]} | 7" in (await files.text(xlsx_of(rows), "ledger.xlsx")).splitlines()
    slides = await files.text(pptx_of(lines[:3]), "ledger.pptx")
    assert [line for line in slides.splitlines() if line.startswith("entry")] == lines[:3]


async def test_nothing_is_recognised_where_no_text_is(files: KimiFiles) -> None:
    assert (await files.text(scan_of(2), "scan.pdf")).startswith("[emulated recognition of page 1")
    assert (await files.text(OLD_DOC, "old.doc")).startswith("[emulated extraction of old.doc")


@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (pdf_of(["x"])[:200], "cut.pdf"),
        (docx_of(["x"])[:-300], "cut.docx"),
        (b"PK\x03\x04" + bytes(100), "a.zip"),
        (b"text\0", "a.txt"),
        ("füge".encode("latin-1"), "a.txt"),
        ("ü".encode()[:1], "a.txt"),
    ],
)
async def test_what_cannot_be_read_stays_listed_as_an_error(
    files: KimiFiles, emulator: Emulator, content: bytes, filename: str
) -> None:
    status, made = await files.upload(content, filename)
    assert (status, made["status"]) == (200, "error")
    assert made["status_details"].startswith("text extraction failed")
    _, listed = await files.ask("GET")
    assert [(file["id"], file["status"]) for file in listed["data"]] == [(made["id"], "error")]
    assert (await files.ask("GET", f"/{made['id']}/content"))[0] == 400
    assert len(emulator.accounts["kimi"].files) == 1


async def test_text_that_ends_a_block_within_a_character_is_text(files: KimiFiles) -> None:
    content = ("x" * (2**20 - 1) + "ü" * 10).encode()
    assert await files.text(content, "a.md") == content.decode()


async def test_a_repeated_name_gets_a_suffix(files: KimiFiles, emulator: Emulator) -> None:
    assert (await files.upload(b"1", "a.txt"))[1]["filename"] == "a.txt"
    _, second = await files.upload(b"2", "a.txt")
    assert re.fullmatch(r"a-[0-9a-f]{8}\.txt", second["filename"])
    emulator.accounts["kimi"].state.files = FileState(name_suffix="always")
    assert re.fullmatch(r"b-[0-9a-f]{8}\.txt", (await files.upload(b"1", "b.txt"))[1]["filename"])
    emulator.accounts["kimi"].state.files = FileState(name_suffix="never")
    assert (await files.upload(b"2", "a.txt"))[1]["filename"] == "a.txt"


async def test_parsing_takes_its_time_and_is_throttled(files: KimiFiles, emulator: Emulator) -> None:
    emulator.clock.stop()
    emulator.accounts["kimi"].state.files = FileState(parse_s=5, parses_per_minute=1)
    _, made = await files.upload(b"text", "a.txt")
    assert made["status"] == "processing"
    assert (await files.ask("GET", f"/{made['id']}/content"))[0] == 404
    status, refused = await files.upload(b"text", "b.txt")
    assert (status, refused["error"]["type"]) == (429, "rate_limit_reached_error")
    assert (await files.upload(MP4, "a.mp4", purpose="video"))[1]["status"] == "ready"
    emulator.clock.advance(5)
    assert (await files.ask("GET", f"/{made['id']}"))[1]["status"] == "ready"
    assert (await files.ask("GET", f"/{made['id']}/content"))[1]["content"] == "text"
    emulator.clock.advance(60)
    assert (await files.upload(b"text", "b.txt"))[0] == 200


async def test_a_new_file_may_be_listed_late(files: KimiFiles, emulator: Emulator) -> None:
    emulator.clock.stop()
    emulator.accounts["kimi"].state.files.list_delay_s = 2
    _, made = await files.upload(b"text", "a.txt")
    assert (await files.ask("GET"))[1]["data"] == []
    assert (await files.ask("GET", f"/{made['id']}"))[0] == 200
    emulator.clock.advance(2)
    assert len((await files.ask("GET"))[1]["data"]) == 1


@pytest.mark.parametrize(
    ("content", "filename", "status"),
    [
        (MP4, "a.mp4", 200),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(8), "a.mov", 200),
        (b"\0\0\0\x18ftyp3gp4" + bytes(16), "a.3gp", 200),
        (b"RIFF\x24\0\0\0AVI LIST", "a.avi", 200),
        (b"FLV\x01\x05\0\0\0\x09", "a.flv", 200),
        (b"\x1aE\xdf\xa3" + bytes(16), "a.webm", 200),
        (b"\0\0\1\xba" + bytes(16), "a.mpg", 200),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(8), "a.wmv", 200),
        (b"OggS" + bytes(16), "a.ogv", 400),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a.mp4", 400),
        (b"not a video", "a.mp4", 400),
    ],
)
async def test_videos_are_of_documented_types(
    files: KimiFiles, content: bytes, filename: str, status: int
) -> None:
    got, body = await files.upload(content, filename, purpose="video")
    assert got == status, body


async def test_a_chat_takes_a_video_by_its_id_alone(files: KimiFiles, ask: Any) -> None:
    _, made = await files.upload(MP4, "a.mp4", purpose="video")
    assert (await files.ask("GET", f"/{made['id']}/content"))[0] == 400

    async def show(kind: str) -> int:
        parts = [
            {"type": kind, kind: {"url": f"ms://{made['id']}"}},
            {"type": "text", "text": "What happens?"},
        ]
        return int((await ask("kimi", messages=[{"role": "user", "content": parts}])).status)

    assert (await show("video_url"), await show("image_url")) == (200, 400)


async def test_the_dated_interface_has_its_own_form(files: KimiFiles) -> None:
    status, made = await files.upload(b"text", "a.txt", headers=DATED)
    assert status == 201
    fields = {"id", "filename", "purpose", "mime_type", "size_bytes", "created_at", "extract_status"}
    assert set(made) == fields
    assert (made["size_bytes"], made["mime_type"], made["extract_status"]) == (4, "text/plain", "ready")
    assert datetime.fromisoformat(made["created_at"]).tzinfo is not None
    await files.upload(b"text", "b.txt")
    _, page = await files.ask("GET", "?page_size=1", headers=DATED)
    assert (len(page["items"]), page["next_page_token"]) == (1, page["items"][0]["id"])
    assert await files.ask("DELETE", f"/{made['id']}", headers=DATED) == (204, None)
    assert (await files.ask("GET", f"/{made['id']}", headers=DATED))[0] == 404
    assert (await files.ask("GET", headers={"kimi-api-version": "2020-01-01"}))[0] == 400


async def test_the_older_status_is_an_option(started: Any, http: aiohttp.ClientSession) -> None:
    async with started(EmulatorOptions(kimi_ready_status="ok")) as emulator:
        _, made = await KimiFiles(emulator, http).upload(b"text", "a.txt")
    assert made["status"] == "ok"


async def test_an_account_holds_so_many_files_and_bytes(files: KimiFiles, emulator: Emulator) -> None:
    state = emulator.accounts["kimi"].state.files
    assert (state.max_files, state.max_file_bytes, state.max_total_bytes) == (1_000, 100 * 2**20, 10 * 2**30)
    emulator.place_file("kimi", "large.bin", "file-extract", b"", size=state.max_total_bytes - 5)
    assert (await files.upload(b"123456", "a.txt"))[1]["error"]["message"].startswith(
        "The size of your files"
    )
    assert (await files.upload(b"12345", "a.txt"))[0] == 200
    for number in range(998):
        emulator.place_file("kimi", f"{number}", "image", b"x")
    assert "limit of 1000" in (await files.upload(b"x", "a.txt"))[1]["error"]["message"]


async def test_an_unlisted_format_is_refused_by_its_rule(files: KimiFiles, emulator: Emulator) -> None:
    assert (await files.upload(b"text", "a.rs"))[0] == 200
    emulator.rules.set("kimi.files.format", on=True)
    assert (await files.upload(b"text", "b.rs"))[0] == 400
    assert (await files.upload(b"text", "b.py"))[0] == 200


async def test_what_is_deleted_or_refused_leaves_nothing_on_disk(
    files: KimiFiles, emulator: Emulator
) -> None:
    _, made = await files.upload(pdf_of(["x"]), "a.pdf")
    kept = emulator.accounts["kimi"].files.get(made["id"])
    assert kept is not None
    folder = kept.upload.path.parent
    assert len(list(folder.iterdir())) == 2
    await files.upload(b"x", "a.txt", purpose="lambda")
    await files.ask("DELETE", f"/{made['id']}")
    assert list(folder.iterdir()) == []
