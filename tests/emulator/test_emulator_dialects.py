"""The custom service speaks the dialect of one that copies OpenAI's form."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from exai_emulator import Emulator, EmulatorOptions, Fault, Persona
from exai_emulator.custom.dialects import DIALECTS
from exai_emulator.options import CustomDialectName

KEY = EmulatorOptions().custom_key
NAMES = {
    "rate_limit",
    "quota",
    "invalid_key",
    "missing_key",
    "model_not_found",
    "context",
    "content_filter",
} | {
    "invalid_request",
    "unsupported",
    "server_error",
    "overloaded",
}


@pytest.fixture
async def speaking(started: Any, post: Any) -> Any:
    """Ask the custom service of an emulator with that dialect."""

    async def ask(dialect: Any, *faults: Fault, **fields: Any) -> Any:
        async with started(EmulatorOptions(custom_dialect=dialect)) as emulator:
            emulator.persona = Persona("echo", think_tokens=3)
            for fault in faults:
                emulator.faults.add("custom", fault)
            azure = {"api_key": KEY, "query": "?api-version=1"} if dialect == "azure" else {}
            return await post(emulator, "custom", **azure, **fields)

    return ask


def test_every_dialect_that_can_be_chosen_is_there() -> None:
    assert list(get_args(CustomDialectName)) == list(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_has_the_common_errors(dialect: str) -> None:
    assert DIALECTS[dialect].errors.keys() >= NAMES


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("streams", [False, True])
async def test_every_error_row_of_every_dialect_can_be_had(
    started: Any, post: Any, dialect: Any, streams: bool
) -> None:
    async with started(EmulatorOptions(custom_dialect=dialect)) as emulator:
        azure = {"api_key": KEY, "query": "?api-version=1"} if dialect == "azure" else {}
        for name, row in DIALECTS[dialect].errors.items():
            emulator.faults.add("custom", Fault(error=name))
            reply = await post(emulator, "custom", stream=streams, **azure)
            assert (name, reply.status) == (name, row.status)
            told = reply.content.decode()
            assert told == row.body if row.body is not None else row.message in told


ENVELOPES: dict[str, Callable[[Any], bool]] = {
    "openrouter": lambda body: body["error"].keys() == {"code", "message"} and body["error"]["code"] == 429,
    "minimax": lambda body: body["base_resp"]["status_code"] == 1002 and body["choices"] is None,
    "xai": lambda body: body.keys() == {"code", "error"} and isinstance(body["error"], str),
    "gemini": lambda body: body[0]["error"]["status"] == "RESOURCE_EXHAUSTED",
    "vllm": lambda body: body["object"] == "error" and body["code"] == 429,
}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_errors_stand_in_the_dialects_envelope(speaking: Any, dialect: str) -> None:
    reply = await speaking(dialect, Fault(error="rate_limit"))
    common = {"message", "type", "param", "code"}
    if dialect in ENVELOPES:
        assert ENVELOPES[dialect](reply.json)
    else:
        assert reply.json["error"].keys() == common


THINKING = {
    "openai": None,
    "azure": None,
    "gemini": None,
    "openrouter": "reasoning",
    "ollama": "reasoning",
    "vllm": "reasoning",
}


@pytest.mark.parametrize("dialect", sorted(DIALECTS.keys() - {"minimax"}))
async def test_thinking_stands_where_the_dialect_puts_it(speaking: Any, dialect: str) -> None:
    field = THINKING.get(dialect, "reasoning_content")
    message = (await speaking(dialect)).json["choices"][0]["message"]
    assert message.keys() == {"role", "content"} | ({field} if field else set())
    frames = [
        part
        for part in (await speaking(dialect, stream=True)).content.decode().split("\n\n")
        if part.startswith("data: {")
    ]
    assert any(f'"{field}":' in frame for frame in frames) is (field is not None)


async def test_minimax_thinks_inside_the_content_by_default(speaking: Any) -> None:
    inside = (await speaking("minimax")).json
    assert inside["choices"][0]["message"]["content"].startswith("<think>")
    assert inside["base_resp"] == {"status_code": 0, "status_msg": ""}
    split = (await speaking("minimax", reasoning_split=True)).json["choices"][0]["message"]
    assert split["content"].startswith("[emulated ")
    assert split["reasoning_details"][0]["text"]


async def test_keep_alives_come_before_what_matters(speaking: Any) -> None:
    assert (await speaking("deepseek")).content.startswith(b"\n\n\n{")
    assert (await speaking("deepseek", stream=True)).content.startswith(b": keep-alive\n\ndata: ")
    assert (await speaking("openrouter", stream=True)).content.startswith(
        b": OPENROUTER PROCESSING\n\ndata: "
    )


async def test_an_openrouter_error_inside_a_stream_has_a_finish_reason(speaking: Any) -> None:
    fault = Fault(frame="error", error="server_error_200", after_frames=4)
    last = (await speaking("openrouter", fault, stream=True)).content.decode().split("\n\n")[-2]
    assert '"finish_reason":"error"' in last
    assert '"error":{' in last


async def test_keys_go_where_the_dialect_wants_them(started: Any, post: Any) -> None:
    async with started(EmulatorOptions()) as emulator:
        emulator.custom_dialect = "azure"
        assert (await post(emulator, "custom", query="?api-version=1")).status == 401
        assert (await post(emulator, "custom", query="?api-version=1", api_key=KEY)).status == 200
        assert emulator.log.requests[-1].query == "api-version=1"
        assert emulator.log.requests[-1].headers["api-key"].startswith("sha256:")
        emulator.custom_dialect = "ollama"
        assert (await post(emulator, "custom", key="anything")).status == 200


async def test_ollama_takes_a_prompt_above_its_window(started: Any, post: Any) -> None:
    options = EmulatorOptions(custom_dialect="ollama", context_windows={"emulated-large": 10})
    async with started(options) as emulator:
        assert (
            await post(emulator, "custom", messages=[{"role": "user", "content": "w" * 600}])
        ).status == 200


async def test_the_dialect_is_switched_at_the_control_port(emulator: Emulator, http: Any, ask: Any) -> None:
    url = f"{emulator.addresses.control}/_ctl/dialect"
    emulator.faults.add("custom", Fault(error="quota"))
    async with http.post(url, json={"dialect": "minimax"}) as response:
        assert response.status == 200
    assert emulator.faults.queued == []
    assert "base_resp" in (await ask("custom")).json
    async with http.get(url) as response:
        assert (await response.json())["dialect"] == "minimax"
    async with http.post(url, json={"dialect": "klingon"}) as response:
        assert response.status == 400
        assert "openrouter" in (await response.json())["error"]
    emulator.reset()
    assert "base_resp" not in (await ask("custom")).json
