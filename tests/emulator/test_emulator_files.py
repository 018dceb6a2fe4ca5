"""The file stores of both providers: what they keep, what they refuse, and how they fail."""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zai import ZaiClient

from exai_emulator import Emulator, EmulatorOptions, Fault, FileState
from exai_emulator.forms import Form, FormReader
from exai_emulator.pictures import picture_size
from exai_emulator.uploads import UploadFolder
from support.documents import pdf_of

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
)

LINES = b'{"custom_id":"request-1"}'


@pytest.fixture
async def kimi(emulator: Emulator) -> AsyncIterator[openai.AsyncOpenAI]:
    there = emulator.addresses
    async with openai.AsyncOpenAI(base_url=there.kimi, api_key=there.kimi_key, max_retries=0) as client:
        yield client


class Files:
    """One provider's files over plain HTTP."""

    def __init__(self, http: aiohttp.ClientSession, root: str, key: str) -> None:
        self._http = http
        self._root = root
        self._headers = {"Authorization": f"Bearer {key}"}

    async def upload(self, content: bytes, filename: str = "a.txt", **fields: str) -> tuple[int, Any]:
        form = aiohttp.FormData(fields)
        form.add_field("file", io.BytesIO(content), filename=filename)
        return await self.ask("POST", "", data=form)

    async def ask(self, method: str, path: str = "", **options: Any) -> tuple[int, Any]:
        headers = {**self._headers, **options.pop("headers", {})}
        async with self._http.request(
            method, f"{self._root}/files{path}", headers=headers, **options
        ) as response:
            kind = response.headers.get("Content-Type", "")
            body = await (response.json(content_type=None) if "json" in kind else response.read())
            return response.status, body


@pytest.fixture
def glm_files(emulator: Emulator, http: aiohttp.ClientSession) -> Files:
    return Files(http, emulator.addresses.glm, emulator.addresses.glm_key)


@pytest.fixture
def kimi_files(emulator: Emulator, http: aiohttp.ClientSession) -> Files:
    return Files(http, emulator.addresses.kimi, emulator.addresses.kimi_key)


async def test_the_openai_client_manages_files_at_kimi(kimi: openai.AsyncOpenAI, emulator: Emulator) -> None:
    made = await kimi.files.create(file=("notes.md", b"# Notes\nplover"), purpose="file-extract")  # type: ignore[arg-type]
    assert (made.object, made.bytes, made.filename, made.status) == ("file", 14, "notes.md", "ready")
    assert (await kimi.files.retrieve(made.id)).id == made.id
    assert [file.id for file in (await kimi.files.list()).data] == [made.id]
    content = (await kimi.files.content(made.id)).json()
    assert content["content"] == "# Notes\nplover"
    assert set(content) == {"content", "file_type", "filename", "title", "type"}
    assert (await kimi.files.delete(made.id)).deleted is True
    with pytest.raises(openai.NotFoundError) as caught:
        await kimi.files.retrieve(made.id)
    assert caught.value.type == "resource_not_found_error"
    assert len(emulator.accounts["kimi"].files) == 0
    assert emulator.log.of("kimi", "/files")[0].body["filename"] == "notes.md"


async def test_zai_sdk_manages_files_at_glm(emulator: Emulator) -> None:
    def run() -> tuple[Any, Any, Any]:
        there = emulator.addresses
        with ZaiClient(api_key=there.glm_key, base_url=there.glm, max_retries=0) as client:
            made = client.files.create(file=("batch.jsonl", io.BytesIO(LINES)), purpose="batch")
            listed = client.files.list(purpose="batch")
            return made, listed, client.files.delete(str(made.id))

    made, listed, deleted = await asyncio.to_thread(run)
    assert (made.object, made.filename, made.purpose) == ("file", "batch.jsonl", "batch")
    assert [file.id for file in listed.data] == [made.id]
    assert (listed.has_more, deleted.deleted) == (False, True)


async def test_kimi_lists_newest_first_page_by_page(kimi_files: Files) -> None:
    made = [(await kimi_files.upload(b"x", f"{number}.txt"))[1]["id"] for number in range(3)]
    _, first = await kimi_files.ask("GET", "?page_size=2")
    assert [file["id"] for file in first["data"]] == [made[2], made[1]]
    _, second = await kimi_files.ask("GET", f"?page_size=2&page_token={first['next_page_token']}")
    assert [file["id"] for file in second["data"]] == [made[0]]
    assert "next_page_token" not in second
    assert (await kimi_files.ask("GET", "?page_size=0"))[0] == 400


async def test_glm_lists_one_purpose_and_says_whether_there_is_more(glm_files: Files) -> None:
    for number in range(3):
        assert (await glm_files.upload(LINES, f"{number}.jsonl", purpose="batch"))[0] == 200
    status, body = await glm_files.upload(b"%PDF-1.7", "a.pdf", purpose="user_data")
    assert (status, body["expires_at"] - body["created_at"]) == (200, 30 * 86_400)
    _, first = await glm_files.ask("GET", "?purpose=batch&limit=2&order=created_at")
    assert ([file["filename"] for file in first["data"]], first["has_more"]) == (["0.jsonl", "1.jsonl"], True)
    _, rest = await glm_files.ask("GET", f"?purpose=batch&after={first['data'][-1]['id']}")
    assert ([file["filename"] for file in rest["data"]], rest["has_more"]) == (["2.jsonl"], False)
    assert (await glm_files.ask("GET"))[1]["error"]["code"] == "1214"
    assert (await glm_files.ask("GET", "?purpose=batch&limit=101"))[0] == 400


async def test_glm_gives_the_content_of_batch_outputs_alone(glm_files: Files, emulator: Emulator) -> None:
    _, made = await glm_files.upload(LINES, "a.jsonl", purpose="batch")
    status, body = await glm_files.ask("GET", f"/{made['id']}/content")
    assert (status, body["error"]["code"]) == (400, "1210")
    placed = emulator.place_file("glm", "out.jsonl", "batch_output", b'{"id":1}')
    assert await glm_files.ask("GET", f"/{placed.id}/content") == (200, b'{"id":1}')


@pytest.mark.parametrize(
    ("content", "filename", "fields", "says"),
    [
        (b"x", "a.txt", {"purpose": "file"}, "purpose"),
        (b"x", "a.txt", {"purpose": "user_data"}, "当前仅支持：doc、docx、pdf"),
        (b"", "a.jsonl", {"purpose": "batch"}, "不能为空"),
        (b'{"custom_id":"12345"}', "a.jsonl", {"purpose": "batch"}, "格式错误"),
        (b"x", "a.txt", {"purpose": "retrieval"}, "当前仅支持：doc、docx、pdf、xlsx"),
        (b"\0" * (5 * 2**20 + 1), "a.pdf", {"purpose": "retrieval"}, "最大5MB"),
        (PNG + b"\0" * 5 * 2**20, "a.png", {"purpose": "code-interpreter"}, "最大5MB"),
        (b"\0" * (20 * 2**20 + 1), "a.bin", {"purpose": "agent"}, "最大20MB"),
    ],
)
async def test_glm_refuses_uploads(
    glm_files: Files, emulator: Emulator, content: bytes, filename: str, fields: dict[str, str], says: str
) -> None:
    status, body = await glm_files.upload(content, filename, **fields)
    assert status == 400
    assert says in body["error"]["message"]
    assert len(emulator.accounts["glm"].files) == 0


@pytest.mark.parametrize(
    ("content", "fields", "says"),
    [
        (b"x", {"purpose": "lambda"}, "Invalid purpose"),
        (b"", {}, "File size is zero"),
        (b"x", {"purpose": "image"}, "unsupported image format"),
        (b"not json", {"purpose": "batch"}, "JSON lines"),
    ],
)
async def test_kimi_refuses_uploads(
    kimi_files: Files, emulator: Emulator, content: bytes, fields: dict[str, str], says: str
) -> None:
    status, body = await kimi_files.upload(content, **fields)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert says in body["error"]["message"]
    assert len(emulator.accounts["kimi"].files) == 0


async def test_a_full_store_and_a_file_too_large_are_refused(kimi_files: Files, emulator: Emulator) -> None:
    emulator.accounts["kimi"].state.files = FileState(max_files=1, max_file_bytes=10)
    assert "max file size is 100MB" in (await kimi_files.upload(b"x" * 11))[1]["error"]["message"]
    assert (await kimi_files.upload(b"x"))[0] == 200
    assert "limit of 1" in (await kimi_files.upload(b"x"))[1]["error"]["message"]


async def test_a_body_above_the_limit_is_a_file_too_large(started: Any, http: aiohttp.ClientSession) -> None:
    async with started(EmulatorOptions(max_body_bytes=1_000)) as emulator:
        files = Files(http, emulator.addresses.kimi, emulator.addresses.kimi_key)
        status, body = await files.upload(b"x" * 2_000)
    assert (status, "max file size" in body["error"]["message"]) == (400, True)


async def test_a_document_that_cannot_be_parsed_is_listed_as_failed(
    kimi_files: Files, emulator: Emulator
) -> None:
    _, binary = await kimi_files.upload(b"\0\1\2", "a.txt")
    emulator.accounts["kimi"].state.files.fails = True
    _, failed = await kimi_files.upload(b"fine", "b.txt")
    for made in (binary, failed):
        assert (made["status"], bool(made["status_details"])) == ("error", True)
        assert (await kimi_files.ask("GET", f"/{made['id']}/content"))[0] == 400


async def test_content_may_be_late(kimi_files: Files, emulator: Emulator) -> None:
    emulator.clock.stop()
    emulator.accounts["kimi"].state.files.content_delay_s = 3
    _, made = await kimi_files.upload(b"text")
    assert (await kimi_files.ask("GET", f"/{made['id']}/content"))[0] == 404
    emulator.clock.advance(3)
    assert (await kimi_files.ask("GET", f"/{made['id']}/content"))[0] == 200


async def test_content_is_plain_text_by_option(started: Any, http: aiohttp.ClientSession) -> None:
    async with started(EmulatorOptions(kimi_file_content="text")) as emulator:
        files = Files(http, emulator.addresses.kimi, emulator.addresses.kimi_key)
        _, made = await files.upload(b"plover")
        assert await files.ask("GET", f"/{made['id']}/content") == (200, b"plover")


async def test_media_has_no_content(kimi_files: Files) -> None:
    for fields in ({"purpose": "image"}, {"purpose": "file-extract"}):
        _, made = await kimi_files.upload(PNG, "a.png", **fields)
        assert (await kimi_files.ask("GET", f"/{made['id']}/content"))[0] == 400


async def test_a_fault_loses_the_reply_or_replaces_it(kimi_files: Files, emulator: Emulator) -> None:
    emulator.faults.add("kimi", Fault(path="/files", error="server_error"))
    assert (await kimi_files.upload(b"x"))[0] == 500
    assert len(emulator.accounts["kimi"].files) == 0
    emulator.faults.add("kimi", Fault(path="/files", cut="reset", at="before_headers"))
    with pytest.raises(aiohttp.ClientError):
        await kimi_files.upload(b"x")
    assert len(emulator.accounts["kimi"].files) == 1


async def test_a_chat_may_name_an_uploaded_picture_and_no_other(
    kimi_files: Files, ask: Any, emulator: Emulator
) -> None:
    _, picture = await kimi_files.upload(PNG, "a.png", purpose="image")
    _, document = await kimi_files.upload(b"text", "a.txt")

    async def show(file_id: str) -> Any:
        parts = [
            {"type": "image_url", "image_url": {"url": f"ms://{file_id}"}},
            {"type": "text", "text": "?"},
        ]
        return await ask("kimi", messages=[{"role": "user", "content": parts}])

    assert (await show(picture["id"])).status == 200
    assert (await show(document["id"])).status == 400
    assert "not found" in (await show("file_unknown")).json["error"]["message"]
    await kimi_files.ask("DELETE", f"/{picture['id']}")
    assert (await show(picture["id"])).status == 400


async def test_a_glm_chat_takes_user_data_files_on_vision_models(glm_files: Files, ask: Any) -> None:
    _, good = await glm_files.upload(pdf_of(["x"]), "a.pdf", purpose="user_data")
    _, other = await glm_files.upload(b"x", "a.txt", purpose="file-extract")

    async def show(file_id: str, model: str = "glm-5.3-flash") -> Any:
        parts = [{"type": "file", "file": {"file_id": file_id}}, {"type": "text", "text": "?"}]
        return await ask("glm", model=model, messages=[{"role": "user", "content": parts}])

    assert (await show(good["id"])).status == 200
    assert (await show(other["id"])).json["error"]["code"] == "1210"
    assert (await show(good["id"], "glm-5.3")).status == 400
    await glm_files.ask("DELETE", f"/{good['id']}")
    assert (await show(good["id"])).json["error"]["code"] == "1210"


async def test_glm_refuses_a_picture_with_too_many_pixels(ask: Any) -> None:
    large = PNG[:16] + (6_001).to_bytes(4, "big") + PNG[20:]
    assert picture_size(large) == (6_001, 1)
    url = "data:image/png;base64," + base64.b64encode(large).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    reply = await ask("glm", model="glm-5.3-flash", messages=[{"role": "user", "content": parts}])
    assert reply.json["error"]["code"] == "1210"


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nimage\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n" + PNG + b"\r\n--b--\r\n"
)


@pytest.fixture
def folder() -> Iterator[UploadFolder]:
    folder = UploadFolder()
    yield folder
    folder.close()


def read_form(content_type: str, body: bytes, folder: UploadFolder, step: int = 1 << 20) -> Form | None:
    reader = FormReader(content_type, folder)
    for start in range(0, len(body), step):
        reader.feed(body[start : start + step])
    form = reader.finish()
    if form is None:
        reader.discard()
    return form


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_form_is_whole_or_none(folder: UploadFolder, step: int) -> None:
    form = read_form("multipart/form-data; boundary=b", FORM, folder, step)
    assert form is not None
    assert form.fields == {"purpose": "image"}
    file = form.files["file"]
    assert (file.upload.content, file.upload.size, file.media_type) == (PNG, len(PNG), "image/png")
    assert file.upload.sha256 == hashlib.sha256(PNG).hexdigest()
    for cut in range(len(FORM) - 4):
        assert read_form("multipart/form-data; boundary=b", FORM[:cut], folder, step) is None
    for kind in ("application/json", "multipart/form-data", "multipart/mixed; boundary=b", ""):
        assert read_form(kind, FORM, folder) is None


def test_a_form_is_bounded(folder: UploadFolder) -> None:
    many = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 33 + b"--b--\r\n"
    long = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 70_000 + b"\r\n--b--\r\n"
    headers = (
        b"--b\r\nX-A: " + b"x" * 9_000 + b'\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n'
    )
    for body in (many, long, headers):
        assert read_form("multipart/form-data; boundary=b", body, folder) is None


@settings(derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=300), st.integers(0, len(FORM)), st.integers(0, len(FORM)))
def test_no_bytes_make_reading_a_form_fail(folder: UploadFolder, noise: bytes, start: int, end: int) -> None:
    read_form("multipart/form-data; boundary=b", FORM[:start] + noise + FORM[end:], folder)
    read_form("multipart/form-data; boundary=" + noise.decode("latin-1"), FORM, folder)
