"""Clients that others wrote speak to the emulator as to the real services."""

import asyncio
import time
from typing import Any

import jwt
import openai
import pytest
from zai import ZaiClient
from zai.core import APIAuthenticationError, APIReachLimitError, APIRequestFailedError

from exai_emulator import Emulator, Fault, Persona
from exai_emulator.log import fingerprint

DOORS = [("glm", "glm-5.3"), ("glm_coding", "glm-5.2"), ("kimi", "kimi-k3"), ("custom", "emulated-large")]
SECRET: list[Any] = [
    {"role": "user", "content": "Remember: the secret word is plover."},
    {"role": "assistant", "content": "I will."},
    {"role": "user", "content": "What was the secret word?"},
]


def key_of(emulator: Emulator, door: str) -> str:
    return str(getattr(emulator.addresses, f"{door.removesuffix('_coding')}_key"))


def url_of(emulator: Emulator, door: str) -> str:
    return str(getattr(emulator.addresses, door))


@pytest.mark.parametrize(("door", "model"), DOORS)
async def test_openai_async_client_completes_and_streams(emulator: Emulator, door: str, model: str) -> None:
    async with openai.AsyncOpenAI(
        base_url=url_of(emulator, door), api_key=key_of(emulator, door), max_retries=0
    ) as client:
        whole = await client.chat.completions.create(model=model, messages=SECRET)
        stream = await client.chat.completions.create(
            model=model, messages=SECRET, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]

    said = f"[emulated {model}] The secret word is plover."
    assert whole.choices[0].message.content == said
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == said
    assert [chunk.usage for chunk in chunks if chunk.usage][
        -1
    ].completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize(("door", "model"), DOORS)
async def test_openai_sync_client_completes_and_streams(emulator: Emulator, door: str, model: str) -> None:
    def talk() -> tuple[str | None, str]:
        with openai.OpenAI(
            base_url=url_of(emulator, door), api_key=key_of(emulator, door), max_retries=0
        ) as client:
            whole = client.chat.completions.create(model=model, messages=SECRET)
            stream: Any = client.chat.completions.create(model=model, messages=SECRET, stream=True)
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
            return whole.choices[0].message.content, "".join(pieces)

    said = f"[emulated {model}] The secret word is plover."
    assert await asyncio.to_thread(talk) == (said, said)


@pytest.mark.parametrize("door", ["glm", "kimi", "custom"])
async def test_openai_client_lists_models(emulator: Emulator, door: str) -> None:
    async with openai.AsyncOpenAI(
        base_url=url_of(emulator, door), api_key=key_of(emulator, door), max_retries=0
    ) as client:
        ids = [model.id async for model in client.models.list()]
    assert dict(DOORS)[door] in ids


async def test_openai_client_sees_reasoning_before_content(emulator: Emulator) -> None:
    async with openai.AsyncOpenAI(
        base_url=emulator.addresses.kimi, api_key=emulator.addresses.kimi_key
    ) as client:
        stream = await client.chat.completions.create(model="kimi-k3", messages=SECRET, stream=True)
        kinds = []
        async for chunk in stream:
            delta = chunk.choices[0].delta
            kinds += ["thinking"] * bool(getattr(delta, "reasoning_content", None))
            kinds += ["content"] * bool(delta.content)
    assert kinds == sorted(kinds, reverse=True)
    assert {"thinking", "content"} == set(kinds)


@pytest.mark.parametrize(
    ("door", "fault", "raised"),
    [
        ("glm", "1302", openai.RateLimitError),
        ("glm", "1211", openai.BadRequestError),
        ("glm", "1234", openai.InternalServerError),
        ("kimi", "overloaded", openai.RateLimitError),
        ("kimi", "permission_denied", openai.PermissionDeniedError),
        ("custom", "model_not_found", openai.NotFoundError),
    ],
)
async def test_openai_client_raises_its_own_errors(
    emulator: Emulator, door: str, fault: str, raised: type
) -> None:
    emulator.faults.add(door, Fault(error=fault))
    async with openai.AsyncOpenAI(
        base_url=url_of(emulator, door), api_key=key_of(emulator, door), max_retries=0
    ) as client:
        with pytest.raises(raised):
            await client.chat.completions.create(model=dict(DOORS)[door], messages=SECRET)


async def test_openai_client_with_a_wrong_key_is_not_authenticated(emulator: Emulator) -> None:
    async with openai.AsyncOpenAI(
        base_url=emulator.addresses.kimi, api_key="sk-wrong", max_retries=0
    ) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="kimi-k3", messages=SECRET)
    assert caught.value.body == {"message": "Incorrect API key provided", "type": "incorrect_api_key_error"}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("signed", [False, True])
async def test_zai_client_completes_and_streams(emulator: Emulator, signed: bool) -> None:
    def talk() -> tuple[str, str, int]:
        with ZaiClient(
            api_key=emulator.addresses.glm_key,
            base_url=emulator.addresses.glm,
            disable_token_cache=not signed,
            max_retries=0,
        ) as client:
            whole: Any = client.chat.completions.create(model="glm-5.3", messages=SECRET, temperature=0.5)
            stream: Any = client.chat.completions.create(model="glm-5.3", messages=SECRET, stream=True)
            chunks = list(stream)
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
        return whole.choices[0].message.content, "".join(pieces), chunks[-1].usage.completion_tokens

    whole, streamed, tokens = await asyncio.to_thread(talk)
    assert whole == streamed == "[emulated glm-5.3] The secret word is plover."
    assert tokens > 0
    sent_raw = {
        record.headers["authorization"] == fingerprint(f"Bearer {emulator.addresses.glm_key}")
        for record in emulator.log.of("glm")
    }
    assert sent_raw == {not signed}


async def test_zai_client_raises_its_own_errors(emulator: Emulator) -> None:
    def talk(key: str) -> None:
        with ZaiClient(api_key=key, base_url=emulator.addresses.glm, max_retries=0) as client:
            client.chat.completions.create(model="glm-5.3", messages=SECRET)

    emulator.faults.add("glm", Fault(error="1305"))
    with pytest.raises(APIReachLimitError):
        await asyncio.to_thread(talk, emulator.addresses.glm_key)
    emulator.faults.add("glm", Fault(error="1210"))
    with pytest.raises(APIRequestFailedError):
        await asyncio.to_thread(talk, emulator.addresses.glm_key)
    with pytest.raises(APIAuthenticationError):
        await asyncio.to_thread(talk, "other-id.other-secret")


def token_for(key: str, *, expires_in: float = 60, secret: str | None = None) -> str:
    key_id, own_secret = key.split(".")
    now = time.time() * 1000
    return jwt.encode(
        {"api_key": key_id, "exp": int(now + expires_in * 1000), "timestamp": int(now)},
        secret or own_secret,
        algorithm="HS256",
        headers={"alg": "HS256", "sign_type": "SIGN"},
    )


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [({}, 200, None), ({"expires_in": -1}, 401, "1003"), ({"secret": "another"}, 401, "1002")],
)
async def test_glm_judges_signed_tokens(
    ask: Any, emulator: Emulator, changes: dict[str, Any], status: int, code: str | None
) -> None:
    reply = await ask("glm", key=token_for(emulator.addresses.glm_key, **changes))
    assert reply.status == status
    assert code is None or reply.json["error"]["code"] == code


async def test_a_persona_can_be_set_for_one_model(emulator: Emulator) -> None:
    emulator.personas.set(Persona("fixed", text="Hello."), model="kimi-k2.6")
    async with openai.AsyncOpenAI(
        base_url=emulator.addresses.kimi, api_key=emulator.addresses.kimi_key
    ) as client:
        said = [
            (await client.chat.completions.create(model=model, messages=SECRET[:1]))
            .choices[0]
            .message.content
            for model in ("kimi-k2.6", "kimi-k3")
        ]
    assert said == [
        "[emulated kimi-k2.6] Hello.",
        "[emulated kimi-k3] Remember: the secret word is plover.",
    ]
