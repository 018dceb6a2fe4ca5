"""Custom endpoints in each dialect, against the emulator's persona of it."""

from typing import Any

import msgspec
import pytest

from exai import config
from exai.config.sources import load
from exai.errors import (
    AnswerBroken,
    ContentFiltered,
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderFault,
    ProviderOverloaded,
    ProviderThrottled,
    ProviderUnauthorized,
    QuotaExhausted,
    StartFault,
)
from exai.messages import Effort
from exai.providers.base import DeltaKind
from exai.providers.dialects import DIALECTS
from exai.routing.tool_loop import ToolLoop, TypedTool
from exai_emulator import EmulatorOptions, Fault, Persona, ScriptedCall
from support.scripted import asker, asking

AZURE = {"query": ["api-version=2024-10-21"]}
MODEL = {
    "name": "tiny",
    "context_tokens": 1_000,
    "max_output_tokens": 500,
    "efforts": ["none", "low", "high", "max"],
    "input_price": 1.0,
    "cached_input_price": 0.5,
    "output_price": 2.0,
}
EXPECTED: dict[str, type[ProviderFault]] = {
    "rate_limit": ProviderThrottled,
    "quota": QuotaExhausted,
    "invalid_key": ProviderUnauthorized,
    "model_not_found": ProviderDenied,
    "context": ContextOverflow,
    "content_filter": ContentFiltered,
    "server_error": ProviderFailed,
    "overloaded": ProviderOverloaded,
}
"""What each error means in every dialect that has it."""
WITHOUT = {dialect: {"quota", "content_filter"} for dialect in ("xai", "gemini", "ollama", "vllm")}
"""No error of their own is known for these."""
MORE = {
    ("openrouter", "quota_200"): QuotaExhausted,
    ("openrouter", "rate_limit_200"): ProviderThrottled,
    ("openrouter", "server_error_200"): ProviderFailed,
    ("minimax", "plan"): QuotaExhausted,
    ("minimax", "quota_429"): QuotaExhausted,
}


@pytest.fixture
def open_dialect(open_desk: Any) -> Any:
    """A desk whose custom endpoint has a dialect, on both sides."""

    async def open_one(dialect: str, *, options: dict[str, Any] | None = None, **row: Any) -> Any:
        habits = AZURE if dialect == "azure" else {}
        desk = await open_desk(
            options=EmulatorOptions(custom_dialect=dialect, **(options or {})),  # type: ignore[arg-type]
            custom={"dialect": dialect, "models": [MODEL], **habits, **row},
        )
        desk.emulator.persona = Persona("echo", think_tokens=4)
        return desk

    return open_one


def sent_by(desk: Any) -> Any:
    return desk.emulator.log.of("custom")[-1]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_question_is_answered_and_counted(open_dialect: Any, dialect: str, streams: bool) -> None:
    desk = await open_dialect(dialect)
    ask = desk.ask_streaming if streams else desk.ask
    answer = await ask(
        "local/tiny", effort=Effort.NONE, max_output_tokens=200, temperature=1.0, conversation_key="c"
    )
    assert answer.text == "[emulated tiny] hello"
    assert answer.usage.input
    assert answer.usage.output
    assert desk.router.resolve("local/tiny").model.price.cost(answer.usage).usd > 0
    hidden = dialect in {"openai", "azure", "gemini", "minimax"}
    assert (answer.reasoning is None) is hidden

    record = sent_by(desk)
    habits = DIALECTS[dialect]
    assert (record.status, record.outcome) == (200, "complete")
    roles = [message["role"] for message in record.body["messages"]]
    assert roles == [habits.system_role, "user"]
    assert record.body[habits.max_tokens_field] == 200
    assert ("temperature" in record.body) is habits.temperature
    assert ("stream_options" in record.body) is streams
    assert record.headers.keys() & {"authorization", "api-key"} == {habits.key_header}
    assert record.query == ("api-version=2024-10-21" if dialect == "azure" else "")
    assert record.path == "/v1/chat/completions"


async def test_a_root_may_end_with_a_slash(open_dialect: Any) -> None:
    first = await open_dialect("azure")
    desk = await open_dialect("azure", base_url=f"{first.emulator.addresses.custom}/")
    assert (await desk.ask("local/tiny")).text == "[emulated tiny] hello"
    assert sent_by(first).path == "/v1/chat/completions"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_error_means_the_same_in_every_dialect(open_dialect: Any, dialect: str) -> None:
    desk = await open_dialect(dialect)
    known = {name: fault for name, fault in EXPECTED.items() if name not in WITHOUT.get(dialect, ())}
    for name, expected in known.items():
        for ask in (desk.ask, desk.ask_streaming):
            desk.emulator.faults.add("custom", Fault(error=name))
            with pytest.raises(ProviderFault) as raised:
                await ask("local/tiny")
            assert (name, type(raised.value)) == (name, expected)
            assert desk.emulator.addresses.custom_key not in str(raised.value)
    # Each was asked once: what is gone or wrong is not asked again here.
    assert len(desk.emulator.log.of("custom")) == 2 * len(known)


@pytest.mark.parametrize(("dialect", "error"), MORE)
async def test_the_errors_of_one_dialect_alone(open_dialect: Any, dialect: str, error: str) -> None:
    desk = await open_dialect(dialect)
    for ask in (desk.ask, desk.ask_streaming):
        desk.emulator.faults.add("custom", Fault(error=error))
        with pytest.raises(ProviderFault) as raised:
            await ask("local/tiny")
        assert type(raised.value) is MORE[dialect, error]


@pytest.mark.parametrize("dialect", sorted(DIALECTS.keys() - {"ollama"}))
async def test_the_service_refuses_a_wrong_key_and_a_long_prompt(open_dialect: Any, dialect: str) -> None:
    wrong = await open_dialect(dialect, api_key="sk-wrong")
    with pytest.raises(ProviderUnauthorized, match=r"local\.api_key"):
        await wrong.ask("local/tiny")
    small = await open_dialect(dialect, options={"context_windows": {"tiny": 20}})
    with pytest.raises(ContextOverflow):
        await small.ask("local/tiny", "w" * 400)


SPELLED: dict[str, dict[Effort, Any]] = {
    "reasoning_effort": {
        Effort.NONE: {"reasoning_effort": "none"},
        Effort.HIGH: {"reasoning_effort": "high"},
    },
    "reasoning": {
        Effort.NONE: {"reasoning": {"effort": "none"}},
        Effort.HIGH: {"reasoning": {"effort": "high"}},
    },
    "thinking": {
        Effort.NONE: {"thinking": {"type": "disabled"}},
        Effort.HIGH: {"thinking": {"type": "enabled"}},
    },
    "off": {Effort.NONE: {}, Effort.HIGH: {}},
}
FIELDS = ("reasoning_effort", "reasoning", "thinking")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_effort_is_spelled_as_the_dialect_has_it(open_dialect: Any, dialect: str) -> None:
    desk = await open_dialect(dialect)
    desk.emulator.persona = Persona("echo")
    for effort, fields in SPELLED[DIALECTS[dialect].thinking].items():
        answer = await desk.ask("local/tiny", effort=effort)
        assert {name: sent_by(desk).body[name] for name in FIELDS if name in sent_by(desk).body} == fields
        thought = effort is Effort.HIGH and DIALECTS[dialect].thinking != "off"
        assert bool(answer.usage.reasoning) is thought
    if DIALECTS[dialect].most_effort == "xhigh":
        await desk.ask("local/tiny", effort=Effort.MAX)
        assert "xhigh" in str([sent_by(desk).body.get(name) for name in FIELDS])


class Words(msgspec.Struct, frozen=True):
    words: str


async def _look_up(asked: Words) -> str:
    return f"found {asked.words}"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_model_calls_tools_in_every_dialect(open_dialect: Any, dialect: str, streams: bool) -> None:
    desk = await open_dialect(dialect)
    desk.emulator.persona = Persona(rounds=((ScriptedCall("look_up", {"words": "owls"}),),))
    loop = ToolLoop([TypedTool("look_up", "Looks words up.", Words, _look_up)], config.ToolLoop(), desk.clock)

    def listen(_kind: DeltaKind, _text: str) -> None:
        return

    prompt = desk.prompt("local/tiny", "Find it.", tools=loop.specs)
    answer = await loop.run(asker(asking(desk.router)), prompt, listen if streams else None)
    assert "found owls" in answer.text
    roles = [message["role"] for message in sent_by(desk).body["messages"]]
    assert roles == [DIALECTS[dialect].system_role, "user", "assistant", "tool"]


async def test_openrouters_error_inside_a_stream_leaves_what_was_said(open_dialect: Any) -> None:
    desk = await open_dialect("openrouter")
    desk.emulator.persona = Persona("long", tokens=50)
    desk.emulator.faults.add("custom", Fault(frame="error", error="server_error_200", after_frames=20))
    with pytest.raises(AnswerBroken) as raised:
        await desk.ask_streaming("local/tiny")
    assert raised.value.partial.startswith("[emulated tiny] ")
    desk.emulator.faults.add("custom", Fault(finish_reason="error"))
    with pytest.raises(AnswerBroken):
        await desk.ask_streaming("local/tiny")


@pytest.mark.virtual_time
@pytest.mark.parametrize("dialect", ["deepseek", "openrouter"])
async def test_keep_alives_are_no_answer(open_dialect: Any, dialect: str) -> None:
    desk = await open_dialect(dialect)
    desk.emulator.faults.add("custom", Fault(before_first_byte_ms=25_000, heartbeat_ms=1_000))
    assert (await desk.ask_streaming("local/tiny")).text == "[emulated tiny] hello"
    assert (await desk.ask("local/tiny", effort=Effort.NONE)).text == "[emulated tiny] hello"


async def test_deepseek_without_resources_is_overloaded(open_dialect: Any) -> None:
    desk = await open_dialect("deepseek")
    desk.emulator.persona = Persona("echo", think_tokens=0)
    desk.emulator.faults.add("custom", Fault(finish_reason="insufficient_system_resource", content="empty"))
    with pytest.raises(ProviderOverloaded):
        await desk.ask("local/tiny", effort=Effort.NONE)


async def test_usage_that_is_not_asked_for_is_unknown(open_dialect: Any) -> None:
    desk = await open_dialect("vllm", stream_usage=False)
    answer = await desk.ask_streaming("local/tiny")
    assert "stream_options" not in sent_by(desk).body
    assert (answer.usage.input, answer.usage.output) == (None, None)


@pytest.mark.parametrize(("strict", "finishes"), [(True, False), (False, True)])
async def test_an_odd_finish_is_an_answer_only_where_the_row_is_lenient(
    open_dialect: Any, strict: bool, finishes: bool
) -> None:
    desk = await open_dialect("compatible", strict_finish=strict)
    desk.emulator.faults.add("custom", Fault(finish_reason="eos_token", times=2))
    for ask in (desk.ask, desk.ask_streaming):
        if finishes:
            assert (await ask("local/tiny")).finish_reason == "stop"
        else:
            with pytest.raises(ProviderFault):
                await ask("local/tiny")


async def test_a_row_overrides_its_dialect(open_dialect: Any) -> None:
    desk = await open_dialect(
        "openai",
        max_tokens_field="max_tokens",
        system_role="system",
        temperature=True,
        thinking="thinking",
        headers=["X-Title: EXAI", "X-Secret: s3cr3t"],
        query=["a=1", "b=x y"],
    )
    for rule in ("custom.openai.max_tokens", "custom.openai.temperature", "custom.effort.value"):
        desk.emulator.rules.set(rule, on=False)
    await desk.ask("local/tiny", effort=Effort.HIGH, temperature=0.5, max_output_tokens=100)
    record = sent_by(desk)
    assert record.body["max_tokens"] == 100
    assert record.body["temperature"] == 0.5
    assert record.body["thinking"] == {"type": "enabled"}
    assert record.body["messages"][0]["role"] == "system"
    assert (record.headers["x-title"], record.headers["x-secret"]) == ("EXAI", "s3cr3t")
    assert record.query == "a=1&b=x+y"
    assert "s3cr3t" not in repr(desk.router.providers["local"]._profile)


async def test_a_key_goes_into_the_header_that_the_row_names(open_dialect: Any) -> None:
    desk = await open_dialect("ollama", key_header="x-api-key")
    await desk.ask("local/tiny")
    assert "authorization" not in sent_by(desk).headers
    assert sent_by(desk).headers["x-api-key"].startswith("sha256:")
    keyless = await open_dialect("ollama", api_key=None)
    await keyless.ask("local/tiny")
    assert sent_by(keyless).headers.keys().isdisjoint({"authorization", "x-api-key", "api-key"})


async def test_a_model_without_efforts_or_price(open_dialect: Any) -> None:
    desk = await open_dialect("openai", models=[{"name": "tiny"}])
    answer = await desk.ask("local/tiny", effort=Effort.HIGH)
    assert not sent_by(desk).body.keys() & set(FIELDS)
    assert any("no thinking effort" in note for note in answer.notes)
    assert desk.router.resolve("local/tiny").model.price is None


async def test_half_a_price_is_refused(open_dialect: Any) -> None:
    with pytest.raises(StartFault, match="only one of input_price and output_price"):
        await open_dialect("openai", models=[{"name": "tiny", "input_price": 1.0}])


ROW = "[providers.custom.x]\nbase_url = 'http://127.0.0.1:1/v1'\nmodels = [{ name = 'm' }]\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("headers = ['no colon']", "no header"),
        ("headers = ['X-A:']", "no header"),
        ("headers = ['bad name: x']", "no header"),
        ("query = ['api-version']", "without a value"),
        ("dialect = 'klingon'", "one of `compatible`"),
        ("base_url = 'http://127.0.0.1:1/v1?api-version=1'", "providers.custom.x.query"),
        ("base_url = 'http://127.0.0.1:1/v1/chat/completions/'", "leave it out"),
    ],
)
def test_an_impossible_row_is_refused_without_showing_it(tmp_path: Any, line: str, told: str) -> None:
    file = tmp_path / "exai.toml"
    rows = [row for row in ROW.splitlines() if row.partition(" ")[0] != line.partition(" ")[0]]
    file.write_text("\n".join([*rows, line]))
    file.chmod(0o600)
    with pytest.raises(StartFault) as raised:
        load(environ={"HOME": str(tmp_path)}, config_file=file, overrides={}, cwd=tmp_path)
    assert told in str(raised.value)
    assert "no colon" not in str(raised.value)


@pytest.mark.parametrize(
    "row",
    [
        {"base_url": "http://user:canary@127.0.0.1:1/v1"},
        {"base_url": "http://canary@127.0.0.1:1/v1"},
        {"headers": ["authorization: canary"]},
        {"base_url": "http://user:canary@127.0.0.1:1/v1", "headers": ["Authorization: x"], "api_key": None},
    ],
)
async def test_a_row_with_two_authorizations_is_refused(open_dialect: Any, row: dict[str, Any]) -> None:
    with pytest.raises(StartFault, match="header Authorization") as raised:
        await open_dialect("openai", **row)
    assert "canary" not in str(raised.value)


async def test_a_user_in_the_address_and_a_key_in_another_header_go_together(open_dialect: Any) -> None:
    for row in ({"dialect": "azure"}, {"dialect": "openai", "key_header": "x-api-key"}):
        await open_dialect(row.pop("dialect"), base_url="http://user:pw@127.0.0.1:1/v1", **row)
