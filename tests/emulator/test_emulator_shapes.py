"""Bodies and headers have the shape of the recordings, and every row of the error tables can be had."""

import re
from typing import Any

import pytest

from exai_emulator import Emulator, EmulatorOptions, Fault, Persona
from exai_emulator.glm.errors import RESET

HELLO = {"role": "user", "content": "Say hello."}

GLM_SHAPE = {
    "choices": [
        {
            "finish_reason": str,
            "index": int,
            "message": {"content": str, "role": str, "reasoning_content": str},
        }
    ],
    "created": int,
    "id": str,
    "model": str,
    "object": str,
    "request_id": str,
    "usage": {
        "completion_tokens": int,
        "completion_tokens_details": {"reasoning_tokens": int},
        "prompt_tokens": int,
        "prompt_tokens_details": {"cached_tokens": int},
        "total_tokens": int,
    },
}
KIMI_SHAPE = {
    "id": str,
    "object": str,
    "created": int,
    "model": str,
    "choices": [
        {
            "index": int,
            "message": {"role": str, "content": str, "reasoning_content": str},
            "finish_reason": str,
        }
    ],
    "usage": {
        "prompt_tokens": int,
        "completion_tokens": int,
        "total_tokens": int,
        "completion_tokens_details": {"reasoning_tokens": int},
    },
}


class Matching:
    """Equal to every text of a form."""

    def __init__(self, form: str) -> None:
        self.form = form

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.form, other) is not None

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self.form}>"


def shape_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shape_of(entry) for name, entry in value.items()}
    return [shape_of(entry) for entry in value] if isinstance(value, list) else type(value)


async def test_glm_answer_has_the_recorded_shape(ask: Any) -> None:
    reply = await ask("glm")
    body = reply.json
    assert shape_of(body) == GLM_SHAPE
    assert re.fullmatch(r"\d{14}[0-9a-f]{16}", body["id"])
    assert body["id"] == body["request_id"] == reply.headers["X-LOG-ID"]
    assert reply.headers["Content-Type"] == "application/json; charset=UTF-8"


async def test_glm_echoes_the_callers_request_id(ask: Any) -> None:
    assert (await ask("glm", request_id="my-request")).json["request_id"] == "my-request"


async def test_kimi_answer_has_the_recorded_shape(ask: Any) -> None:
    reply = await ask("kimi")
    assert shape_of(reply.json) == KIMI_SHAPE
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", reply.json["id"])
    recorded = {"Msh-Request-Id", "X-Msh-Trace-Id", "Msh-Trace-Mode", "Msh-Uid", "Msh-Gid", "Msh-Org-Id"}
    assert recorded | {"Msh-Project-Id", "Server-Timing", "CF-RAY"} <= set(reply.headers)
    assert "Msh-Context-Cache-Token-Saved" not in reply.headers


async def test_cached_tokens_are_the_common_prefix_with_an_earlier_prompt(ask: Any) -> None:
    first = [{"role": "user", "content": "a long beginning " * 20}]
    second = [*first, {"role": "assistant", "content": "Yes."}, HELLO]
    cached = {}
    for provider in ("glm", "kimi"):
        before = (await ask(provider, messages=first)).json["usage"]
        again = await ask(provider, messages=second)
        usage = again.json["usage"]
        assert before.get("prompt_tokens_details", {}).get("cached_tokens", 0) == 0
        cached[provider] = usage["prompt_tokens_details"]["cached_tokens"]
        assert 80 <= cached[provider] < usage["prompt_tokens"]
        if provider == "kimi":
            assert usage["cached_tokens"] == cached[provider]
            assert again.headers["Msh-Context-Cache-Token-Saved"] == str(cached[provider])
    whole = (await ask("glm", messages=second)).json["usage"]
    assert whole["prompt_tokens_details"]["cached_tokens"] == whole["prompt_tokens"]


async def test_the_cache_of_one_provider_is_not_the_others(ask: Any) -> None:
    await ask("glm")
    assert "cached_tokens" not in (await ask("kimi")).json["usage"]


async def test_glm_stream_has_the_recorded_frames(ask: Any) -> None:
    reply = await ask("glm", stream=True)
    *chunks, done = reply.frames
    assert reply.headers["Content-Type"] == "text/event-stream;charset=UTF-8"
    assert done == "[DONE]"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert all(delta["role"] == "assistant" for delta in deltas)
    kinds = ["thinking" if "reasoning_content" in delta else "content" for delta in deltas]
    assert kinds[0] == "thinking"
    assert kinds == sorted(kinds, reverse=True)
    assert all("finish_reason" not in chunk["choices"][0] and "usage" not in chunk for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == [
        {"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}
    ]
    assert chunks[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_kimi_stream_has_the_documented_frames(ask: Any) -> None:
    *chunks, done = (await ask("kimi", stream=True)).frames
    assert done == "[DONE]"
    assert chunks[0]["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    ]
    assert all("role" not in chunk["choices"][0]["delta"] for chunk in chunks[1:])
    assert chunks[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert chunks[-1]["usage"]["completion_tokens"] > 0


async def test_a_stream_and_a_whole_answer_say_and_count_the_same(ask: Any) -> None:
    for provider in ("glm", "kimi", "custom"):
        whole = (await ask(provider)).json
        chunks = (await ask(provider, stream=True, stream_options={"include_usage": True})).frames[:-1]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        message = whole["choices"][0]["message"]
        for name in ("content", "reasoning_content"):
            assert "".join(delta.get(name) or "" for delta in deltas) == message.get(name, "")
        assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


@pytest.mark.parametrize("placement", ["top", "choice", "extra", "none"])
async def test_kimi_usage_stands_where_the_fault_puts_it(started: Any, post: Any, placement: Any) -> None:
    async with started(EmulatorOptions(kimi_stream_usage=placement)) as emulator:
        *chunks, _ = (await post(emulator, "kimi", stream=True)).frames
    finish = next(chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"])
    found = {
        "top": bool(finish.get("usage")),
        "choice": bool(finish["choices"][0].get("usage")),
        "extra": not chunks[-1]["choices"] and bool(chunks[-1]["usage"]),
    }
    assert found == {name: name == placement for name in found}


async def test_kimi_counts_cache_writes_only_when_configured(started: Any, post: Any) -> None:
    for told in (False, True):
        async with started(EmulatorOptions(kimi_cache_writes=told)) as emulator:
            first, second = [(await post(emulator, "kimi")).json["usage"] for _ in range(2)]
        assert ("cache_write_tokens" in first) is told
        if told:
            assert first["cache_write_tokens"] == first["prompt_tokens"]
            assert second["cache_write_tokens"] == second["prompt_tokens"] - second["cached_tokens"]


async def test_include_usage_puts_kimis_usage_into_a_further_chunk(ask: Any) -> None:
    *chunks, _ = (await ask("kimi", stream=True, stream_options={"include_usage": True})).frames
    assert chunks[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


@pytest.mark.parametrize(("provider", "field"), [("glm", "max_tokens"), ("kimi", "max_completion_tokens")])
async def test_thinking_uses_up_the_cap_first(ask: Any, provider: str, field: str) -> None:
    body = (await ask(provider, **{field: 5})).json
    choice = body["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "")
    assert body["usage"]["completion_tokens"] == 5
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5


async def test_glm_effort_low_reasons_nothing(ask: Any) -> None:
    body = (await ask("glm", reasoning_effort="low")).json
    assert "reasoning_content" not in body["choices"][0]["message"]
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


async def test_json_mode_answers_json_and_costs_tokens(ask: Any) -> None:
    for provider, extra in (("glm", 60), ("kimi", 47)):
        plain = (await ask(provider)).json
        json_mode = await ask(provider, response_format={"type": "json_object"})
        said = json_mode.json["choices"][0]["message"]["content"]
        assert said.startswith('{"emulated":')
        assert json_mode.json["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"] + extra


async def test_the_coding_root_answers_some_models_with_another(ask: Any) -> None:
    assert (await ask("glm_coding", model="glm-4.6")).json["model"] == "glm-4.7"
    assert (await ask("glm", model="glm-4.6")).json["model"] == "glm-4.6"


async def test_glm_names_models_without_regard_to_case(ask: Any) -> None:
    assert (await ask("glm", model="GLM-5.3")).status == 200


async def test_unsafe_output_ends_as_sensitive(ask: Any) -> None:
    unsafe = [{"role": "user", "content": "emulated-unsafe-output"}]
    assert (await ask("glm", messages=unsafe)).json["choices"][0]["finish_reason"] == "sensitive"


async def test_glm_web_search_adds_its_results(ask: Any) -> None:
    search = {"enable": True, "search_engine": "search-prime", "search_result": True}
    body = (await ask("glm", tools=[{"type": "web_search", "web_search": search}])).json
    assert body["web_search"][0]["link"].startswith("https://")


async def test_kimi_balance_estimate_and_models(emulator: Emulator, http: Any, ask: Any) -> None:
    at, headers = emulator.addresses.kimi, {"Authorization": f"Bearer {emulator.addresses.kimi_key}"}
    async with http.get(f"{at}/users/me/balance", headers=headers) as response:
        assert (await response.json())["data"]["available_balance"] == 100.0
    async with http.get(f"{at}/models", headers=headers) as response:
        listed = {model["id"]: model for model in (await response.json())["data"]}
    assert listed["kimi-k2.6"]["context_length"] == 262_144
    body = {"model": "kimi-k3", "messages": [HELLO]}
    async with http.post(f"{at}/tokenizers/estimate-token-count", headers=headers, json=body) as response:
        estimated = (await response.json())["data"]["total_tokens"]
    assert estimated == (await ask("kimi")).json["usage"]["prompt_tokens"]


async def test_unknown_routes_answer_as_each_service_does(emulator: Emulator, http: Any) -> None:
    addresses = emulator.addresses
    found = {}
    for provider in ("glm", "kimi", "custom"):
        headers = {"Authorization": f"Bearer {getattr(addresses, provider + '_key')}", "User-Agent": "me"}
        async with http.get(f"{getattr(addresses, provider)}/nowhere", headers=headers) as response:
            found[provider] = (response.status, await response.json())
    assert found["glm"][1]["error"].keys() == {"code", "message"}
    assert found["kimi"][1] == {
        "code": 5,
        "error": "url.not_found",
        "message": "没找到对象",
        "method": "GET",
        "scode": "0x5",
        "status": False,
        "ua": "me",
        "url": "/v1/nowhere",
    }
    assert found["custom"][1]["error"]["type"] == "invalid_request_error"
    assert [status for status, _ in found.values()] == [404, 404, 404]


ROWS = [(api.name, name) for api in Emulator(EmulatorOptions()).apis.values() for name in sorted(api.errors)]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("provider", "name"), ROWS)
async def test_every_error_row_can_be_had(
    emulator: Emulator, ask: Any, provider: str, name: str, streams: bool
) -> None:
    row = emulator.apis[provider].errors[name]
    emulator.faults.add(provider, Fault(error=name))
    reply = await ask(provider, stream=streams)

    assert reply.status == row.status
    for header, value in row.headers.items():
        assert reply.headers[header] == value
    if row.body is not None:
        assert reply.content.decode() == row.body
        assert reply.headers.get("Content-Type") == row.content_type
    elif provider == "glm":
        form = re.escape(row.message).replace(re.escape(RESET), r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
        assert reply.json == {"error": {"code": row.kind, "message": Matching(form)}}
    elif provider == "kimi":
        assert reply.json["error"].items() >= {"type": row.kind, "message": row.message}.items()
    else:
        assert reply.json["error"] == {
            "message": row.message,
            "type": row.kind,
            "param": None,
            "code": row.code,
        }
    assert (await ask(provider)).status == 200


async def test_retry_headers_come_with_kimi_rate_limits_alone(emulator: Emulator, ask: Any) -> None:
    names = {"Retry-After", "X-Retry-After", "Msh-Cooldown-Seconds"}
    found = {}
    for provider, error in (
        ("kimi", "rate_limit_rpm"),
        ("kimi", "overloaded"),
        ("glm", "1302"),
        ("glm", "1305"),
    ):
        emulator.faults.add(provider, Fault(error=error))
        found[error] = names & set((await ask(provider)).headers)
    assert found == {"rate_limit_rpm": names, "overloaded": set(), "1302": set(), "1305": set()}


async def test_kimi_quota_status_is_an_option(started: Any, post: Any) -> None:
    async with started(EmulatorOptions(kimi_quota_status=403)) as emulator:
        emulator.accounts["kimi"].state.balance = 0
        assert (await post(emulator, "kimi")).status == 403


async def test_equal_runs_give_equal_bytes(started: Any, post: Any) -> None:
    async def run(seed: int) -> list[bytes]:
        async with started(EmulatorOptions(seed=seed)) as emulator:
            emulator.persona = Persona("long", tokens=30)
            return [
                (await post(emulator, provider, stream=stream)).content
                for provider in ("glm", "kimi", "custom")
                for stream in (False, True)
            ]

    assert await run(1) == await run(1)
    assert await run(1) != await run(2)


async def test_reset_begins_the_same_run_again(emulator: Emulator, ask: Any) -> None:
    before = [(await ask("kimi")).content for _ in range(2)]
    emulator.reset()
    assert [(await ask("kimi")).content for _ in range(2)] == before
    assert before[0] != before[1]
