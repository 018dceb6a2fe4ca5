"""GLM's documents: in chats, with an end, and parsed."""

import asyncio
import base64
import io
import zipfile
from typing import Any

import aiohttp
import pytest
from zai import ZaiClient

from exai_emulator import Emulator, EmulatorOptions, FileState
from support.documents import docx_of, numbered, pdf_of, scan_of

VISION = "glm-5.3-flash"
PDF = pdf_of(["The secret word is plover.", *numbered(60)])
DAY = 86_400


class GlmFiles:
    """GLM's files over plain HTTP."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._root = emulator.addresses.glm + "/files"
        self._headers = {"Authorization": f"Bearer {emulator.addresses.glm_key}"}

    async def ask(self, method: str, path: str = "", **options: Any) -> tuple[int, Any]:
        async with self._http.request(
            method, self._root + path, headers=self._headers, **options
        ) as response:
            return response.status, await response.json(content_type=None)

    async def send(self, content: bytes, filename: str, path: str = "", **fields: str) -> tuple[int, Any]:
        form = aiohttp.FormData(fields)
        form.add_field("file", io.BytesIO(content), filename=filename)
        return await self.ask("POST", path, data=form)


@pytest.fixture
def files(emulator: Emulator, http: aiohttp.ClientSession) -> GlmFiles:
    return GlmFiles(emulator, http)


def part(**file: Any) -> dict[str, Any]:
    return {"type": "file", "file": file}


def data_part(content: bytes, filename: str = "a.pdf") -> dict[str, Any]:
    return part(file_data=base64.b64encode(content).decode(), filename=filename)


@pytest.fixture
def show(ask: Any) -> Any:
    """Ask a vision model for the secret word of what the parts show."""

    async def send(*parts: dict[str, Any], model: str = VISION) -> Any:
        question = {"type": "text", "text": "What is the secret word?"}
        return await ask("glm", model=model, messages=[{"role": "user", "content": [*parts, question]}])

    return send


async def test_a_model_sees_the_text_of_an_uploaded_file(files: GlmFiles, show: Any, ask: Any) -> None:
    _, made = await files.send(PDF, "a.pdf", purpose="user_data")
    reply = await show(part(file_id=made["id"]))
    assert "The secret word is plover." in reply.json["choices"][0]["message"]["content"]
    without = await show()
    assert "plover" not in without.json["choices"][0]["message"]["content"]
    tokens = reply.json["usage"]["prompt_tokens"] - without.json["usage"]["prompt_tokens"]
    assert tokens > sum(map(len, numbered(60))) // 4


async def test_a_model_sees_what_a_request_brings_with_it(show: Any) -> None:
    for content, name in ((PDF, "a.pdf"), (docx_of(["The secret word is plover."]), "a.docx")):
        reply = await show(data_part(content, name))
        assert "plover" in reply.json["choices"][0]["message"]["content"]
    url = "data:application/pdf;base64," + base64.b64encode(PDF).decode()
    assert "plover" in (await show(part(file_data=url))).json["choices"][0]["message"]["content"]


async def test_what_is_at_an_address_is_not_made_up(show: Any) -> None:
    for shown in (
        part(file_url="https://example.com/plover.pdf"),
        {"type": "file_url", "file_url": {"url": "https://example.com/plover.pdf"}},
    ):
        reply = await show(shown)
        assert reply.status == 200
        assert "plover" not in reply.json["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "parts",
    [
        [part()],
        [part(file_id="x", file_data="eA==")],
        [part(file_id="unknown")],
        [part(file_data="no base64")],
        [data_part(b"text is no document", "a.txt")],
        [data_part(PDF[:300])],
        [data_part(b"PK\x03\x04" + bytes(100), "a.zip")],
        [part(file_url="ftp://example.com/a.pdf")],
        [data_part(PDF)] * 51,
        [data_part(PDF + bytes(50 * 2**20))],
        [{"type": "input_file", "file_id": "x"}],
    ],
    ids=["none", "two", "unknown", "not_base64", "text", "cut", "archive", "ftp", "many", "large", "type"],
)
async def test_a_file_that_the_model_cannot_take_is_refused(show: Any, parts: list[dict[str, Any]]) -> None:
    reply = await show(*parts)
    assert (reply.status, reply.json["error"]["code"]) == (400, "1210")


async def test_a_text_model_takes_no_file(show: Any) -> None:
    reply = await show(data_part(PDF), model="glm-5.3")
    assert (reply.status, reply.headers.get("Content-Type")) == (400, None)


async def test_a_document_may_overflow_the_window(started: Any, post: Any) -> None:
    async with started(EmulatorOptions(context_windows={VISION: 500})) as emulator:
        message = {"role": "user", "content": [data_part(pdf_of(numbered(200)))]}
        reply = await post(emulator, "glm", model=VISION, messages=[message], max_tokens=10)
    assert reply.json["error"]["code"] == "1261"


async def test_a_user_data_file_ends_by_the_clock(files: GlmFiles, show: Any, emulator: Emulator) -> None:
    emulator.clock.stop()
    _, made = await files.send(PDF, "a.pdf", purpose="user_data")
    assert made["expires_at"] == made["created_at"] + 30 * DAY
    assert made["created_at"] == int(emulator.clock.now())
    emulator.clock.advance(30 * DAY - 1)
    assert (await show(part(file_id=made["id"]))).status == 200
    emulator.clock.advance(1)
    assert (await show(part(file_id=made["id"]))).json["error"]["code"] == "1210"
    assert (await files.ask("GET", "?purpose=user_data"))[1]["data"] == []
    assert (await files.ask("DELETE", f"/{made['id']}"))[0] == 400
    emulator.accounts["glm"].state.files = FileState(kept_s=60)
    _, short = await files.send(PDF, "a.pdf", purpose="user_data")
    assert short["expires_at"] == short["created_at"] + 60


async def test_documented_purposes_alone_by_a_rule(files: GlmFiles, emulator: Emulator) -> None:
    emulator.rules.set("glm.files.purpose.documented", on=True)
    assert (await files.send(PDF, "a.pdf", purpose="user_data"))[1]["error"]["code"] == "1210"
    assert (await files.send(b"x", "a.txt", purpose="agent"))[0] == 200


async def test_a_parsed_document_is_fetched_as_text_and_as_a_download(
    files: GlmFiles, http: aiohttp.ClientSession
) -> None:
    _, begun = await files.send(PDF, "a.pdf", "/parser/create", tool_type="prime", file_type="PDF")
    at = f"/parser/result/{begun['task_id']}"
    _, text = await files.ask("GET", f"{at}/text")
    assert (text["status"], "plover" in text["content"]) == ("succeeded", True)
    _, link = await files.ask("GET", f"{at}/download_link")
    async with http.get(link["parsing_result_url"]) as response:
        packed = zipfile.ZipFile(io.BytesIO(await response.read()))
    assert packed.read("result.md").decode() == text["content"]
    async with http.get(link["parsing_result_url"].replace(begun["task_id"], "0" * 32)) as response:
        assert response.status == 404
    _, broken = await files.send(PDF[:300], "a.pdf", "/parser/create", tool_type="lite", file_type="PDF")
    _, failed = await files.ask("GET", f"/parser/result/{broken['task_id']}/text")
    assert (failed["status"], failed["content"]) == ("failed", None)


async def test_documents_are_parsed_at_once_too(files: GlmFiles) -> None:
    status, body = await files.send(PDF, "a.pdf", "/parser/sync", tool_type="prime-sync", file_type="PDF")
    assert (status, body["status"], "plover" in body["content"]) == (200, "succeeded", True)
    assert (await files.send(PDF, "a.pdf", "/parser/sync", tool_type="prime", file_type="PDF"))[0] == 400
    _, scan = await files.send(scan_of(), "a.pdf", "/parser/sync", tool_type="prime-sync", file_type="PDF")
    assert scan["content"].startswith("[emulated recognition")
    status, body = await files.send(b"picture", "a.png", "/ocr", tool_type="hand_write")
    assert (status, body["words_result_num"], len(body["words_result"])) == (200, 1, 1)
    assert (await files.send(b"", "a.png", "/ocr", tool_type="hand_write"))[0] == 400


async def test_zai_sdk_parses_a_document(emulator: Emulator) -> None:
    def run() -> Any:
        there = emulator.addresses
        with ZaiClient(api_key=there.glm_key, base_url=there.glm, max_retries=0) as client:
            sent = ("a.pdf", io.BytesIO(PDF))
            task = client.file_parser.create(file=sent, file_type="PDF", tool_type="lite")
            return client.file_parser.content(task.task_id, format_type="text").json()

    assert "plover" in (await asyncio.to_thread(run))["content"]
