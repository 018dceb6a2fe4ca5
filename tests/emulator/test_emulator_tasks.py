"""What is fetched later, counted, parsed, signed, or closed."""

import asyncio
import uuid
from typing import Any

import aiohttp
import pytest
from zai import ZaiClient

from exai_emulator import Emulator, Fault


class Desk:
    """A key and a root."""

    def __init__(self, http: aiohttp.ClientSession, root: str, key: str) -> None:
        self._http, self._root = http, root
        self._headers = {"Authorization": f"Bearer {key}"}
        self.headers: Any = {}

    async def __call__(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {**self._headers, **options.pop("headers", {})}
        async with self._http.request(method, self._root + path, headers=headers, **options) as response:
            self.headers = response.headers
            return response.status, await response.json(content_type=None)


@pytest.fixture
def glm(emulator: Emulator, http: aiohttp.ClientSession) -> Desk:
    return Desk(http, emulator.addresses.glm, emulator.addresses.glm_key)


@pytest.fixture
def kimi(emulator: Emulator, http: aiohttp.ClientSession) -> Desk:
    return Desk(http, emulator.addresses.kimi, emulator.addresses.kimi_key)


def chat(model: str = "glm-5.3", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Say hello."}], **fields}


async def test_an_asynchronous_chat_is_fetched_when_it_is_ready(glm: Desk, emulator: Emulator) -> None:
    emulator.clock.stop()
    emulator.accounts["glm"].state.task_s = 10
    status, begun = await glm("POST", "/async/chat/completions", json=chat(request_id="my-own-id"))
    assert (status, begun["task_status"], begun["request_id"]) == (200, "PROCESSING", "my-own-id")
    assert set(begun) == {"id", "model", "request_id", "task_status"}
    assert (await glm("GET", f"/async-result/{begun['id']}"))[1]["task_status"] == "PROCESSING"
    emulator.clock.advance(10)
    _, done = await glm("GET", f"/async-result/{begun['id']}")
    assert done["task_status"] == "SUCCESS"
    assert done["choices"][0]["message"]["content"] == "[emulated glm-5.3] Say hello."
    assert done["usage"]["completion_tokens"] > 0


async def test_an_asynchronous_chat_may_fail_and_may_be_unknown(glm: Desk, emulator: Emulator) -> None:
    emulator.accounts["glm"].state.tasks_fail = True
    _, begun = await glm("POST", "/async/chat/completions", json=chat())
    assert (await glm("GET", f"/async-result/{begun['id']}"))[1]["task_status"] == "FAIL"
    assert (await glm("GET", "/async-result/nothing"))[1]["error"]["code"] == "1214"


async def test_asynchronous_chats_are_checked_and_swap_models(glm: Desk, emulator: Emulator) -> None:
    assert (await glm("POST", "/async/chat/completions", json=chat("glm-9")))[1]["error"]["code"] == "1211"
    assert (await glm("POST", "/async/chat/completions", json=chat("glm-4.6")))[1]["model"] == "glm-4.7"
    emulator.rules.set("glm.async.swap", on=False)
    assert (await glm("POST", "/async/chat/completions", json=chat("glm-4.6")))[1]["model"] == "glm-4.6"
    emulator.faults.add("glm", Fault(path="/async/chat/completions", error="1302"))
    assert (await glm("POST", "/async/chat/completions", json=chat()))[0] == 429
    assert len(emulator.accounts["glm"].tasks) == 2


async def test_the_tokenizer_agrees_with_the_chat(glm: Desk) -> None:
    _, counted = await glm("POST", "/tokenizer", json=chat())
    _, answered = await glm("POST", "/chat/completions", json=chat())
    assert counted["usage"]["prompt_tokens"] == answered["usage"]["prompt_tokens"]


async def test_a_document_is_parsed(glm: Desk, emulator: Emulator) -> None:
    def form(**fields: str) -> aiohttp.FormData:
        data = aiohttp.FormData(fields)
        data.add_field("file", b"plover", filename="a.txt")
        return data

    emulator.clock.stop()
    emulator.accounts["glm"].state.task_s = 5
    status, begun = await glm("POST", "/files/parser/create", data=form(tool_type="lite", file_type="TXT"))
    assert (status, begun["success"]) == (200, True)
    at = f"/files/parser/result/{begun['task_id']}"
    assert (await glm("GET", f"{at}/text"))[1]["status"] == "processing"
    emulator.clock.advance(5)
    _, text = await glm("GET", f"{at}/text")
    assert (text["status"], text["content"]) == ("succeeded", "plover")
    link = (await glm("GET", f"{at}/download_link"))[1]["parsing_result_url"]
    assert link == f"{emulator.addresses.glm.removesuffix('/api/paas/v4')}/parsed/{begun['task_id']}.zip"
    assert (await glm("GET", f"{at}/html"))[0] == 400
    assert (await glm("GET", "/files/parser/result/nothing/text"))[0] == 400
    assert (await glm("POST", "/files/parser/create", data=form(tool_type="best", file_type="TXT")))[0] == 400
    assert (await glm("POST", "/files/parser/create", data=form(tool_type="lite")))[0] == 400
    assert (await glm("POST", "/files/parser/create", json={}))[0] == 400


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/images/generations", 403, "1220"),
        ("/videos/generations", 403, "1220"),
        ("/audio/transcriptions", 403, "1220"),
        ("/embeddings", 400, "1222"),
        ("/batches", 400, "1222"),
    ],
)
async def test_what_is_closed_says_so_in_glms_words(glm: Desk, path: str, status: int, code: str) -> None:
    answered, body = await glm("POST", path, json={})
    assert (answered, body["error"]["code"]) == (status, code)


async def test_formulas_give_their_tools_and_run_them(kimi: Desk) -> None:
    _, listed = await kimi("GET", "/formulas/moonshot/web-search:latest/tools")
    function = listed["tools"][0]["function"]
    assert (listed["object"], function["name"]) == ("list", "web_search")
    asked = {"name": "web_search", "arguments": '{"query":"plover"}'}
    _, fiber = await kimi("POST", "/formulas/moonshot/web-search:latest/fibers", json=asked)
    assert (fiber["object"], fiber["status"]) == ("fiber", "succeeded")
    assert fiber["id"].startswith("fiber-")
    assert "ENCRYPTED" in fiber["context"]["encrypted_output"]
    dated = {"name": "date", "arguments": '{"operation":"now"}'}
    _, fiber = await kimi("POST", "/formulas/moonshot/date:latest/fibers", json=dated)
    assert fiber["context"]["output"].startswith("[emulated")


async def test_formulas_refuse(kimi: Desk) -> None:
    assert (await kimi("GET", "/formulas/moonshot/nothing:latest/tools"))[0] == 404
    at = "/formulas/moonshot/date:latest/fibers"
    bodies: tuple[Any, ...] = (
        {"name": "web_search", "arguments": "{}"},
        {"name": "date", "arguments": {}},
        [],
    )
    for body in bodies:
        assert (await kimi("POST", at, json=body))[0] == 400


async def test_a_response_is_signed_on_request(kimi: Desk) -> None:
    nonce = str(uuid.UUID(int=7))
    await kimi("GET", "/models", headers={"X-Msh-Request-Nonce": nonce})
    signed = {"nonce": nonce, "timestamp": kimi.headers["Msh-Request-Timestamp"]}
    signature = kimi.headers["Msh-Request-Signature"]
    assert signature.startswith("reqsigv1_")
    checked = [
        (await kimi("POST", "/signatures/verify", json={**signed, "signature": each}))[1]["valid"]
        for each in (signature, "reqsigv1_0")
    ]
    assert checked == [True, False]
    await kimi("GET", "/models", headers={"X-Msh-Request-Nonce": "7"})
    assert "Msh-Request-Signature" not in kimi.headers


async def test_managed_agents_and_caching_are_closed(kimi: Desk) -> None:
    assert (await kimi("GET", "/agents"))[0] == 400
    dated = {"kimi-api-version": "2026-09-01-beta"}
    assert (await kimi("POST", "/sessions", json={}, headers=dated))[0] == 403
    assert (await kimi("POST", "/caching", json={}))[1]["error"] == "url.not_found"


async def test_zai_sdk_fetches_answers_and_documents(emulator: Emulator) -> None:
    def run() -> tuple[Any, Any, Any, Any]:
        there = emulator.addresses
        messages: Any = [{"role": "user", "content": "Hi."}]  # the SDK annotates it as a prompt's text
        with ZaiClient(api_key=there.glm_key, base_url=there.glm, max_retries=0) as client:
            asked = client.chat.asyncCompletions.create(model="glm-4.5", messages=messages)
            answer = client.chat.asyncCompletions.retrieve_completion_result(id=str(asked.id))
            made = client.file_parser.create(file=("a.txt", b"plover"), file_type="txt", tool_type="lite")
            return asked, answer, made, client.file_parser.content(task_id=made.task_id, format_type="text")

    asked, answer, made, parsed = await asyncio.to_thread(run)
    assert (asked.task_status, answer.task_status, answer.id) == ("PROCESSING", "SUCCESS", asked.id)
    assert answer.choices[0].message.content == "[emulated glm-4.5] Hi."
    assert made.success is True
    assert b"plover" in parsed.content
