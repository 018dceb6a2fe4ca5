"""Hold the emulator against a real service: the same requests to both, and what differs in shape.

    python -m exai_emulator.shadow kimi https://api.moonshot.ai/v1

asks for the key, or reads it from its input, and costs a few small calls. Only shapes are compared
and shown: statuses, names of headers, names and types of fields, kinds of errors. Ids and keys in
error texts are struck out; values, answers and account headers are never shown.
"""

import asyncio
import getpass
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from exai_emulator.options import EmulatorOptions
from exai_emulator.running import running

__all__ = ["PROBES", "Exchange", "compare", "differences", "probe"]

PATIENCE_S = 300.0

_HELLO = [{"role": "user", "content": "Say hello."}]
_PICTURE = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}
]
_COMMON: Mapping[str, Mapping[str, Any]] = {
    "an answer": {},
    "a stream": {"stream": True},
    "a stream with usage": {"stream": True, "stream_options": {"include_usage": True}},
    "low effort": {"reasoning_effort": "low"},
    "an unknown effort": {"reasoning_effort": "medium"},
    "a temperature": {"temperature": 0.5},
    "JSON": {
        "response_format": {"type": "json_object"},
        "messages": [{"role": "user", "content": "Hi, as JSON."}],
    },
    "an unknown model": {"model": "emulated-unknown"},
    "a tool without type": {"tools": [{"function": {"name": "f"}}]},
    "a picture by URL": {"messages": _PICTURE},
    "metadata": {"metadata": {"a": "b"}},
    "no messages": {"messages": []},
}
PROBES: Mapping[str, tuple[str, Mapping[str, Mapping[str, Any]]]] = {
    "glm": ("glm-5.3", {**_COMMON, "a small cap": {"max_tokens": 5}}),
    "kimi": ("kimi-k3", {**_COMMON, "a small cap": {"max_completion_tokens": 5}}),
}
"""By provider: the model, and the fields of each request beside it."""

_IDS = re.compile(r"\b(org|ak|sk|proj|cpm|chatcmpl)-\w+|\b[0-9a-f]{16,}\b|\b\d{14,}\w*")
_OF_THE_WAY = frozenset(
    {"connection", "keep-alive", "date", "server", "via", "cf-cache-status", "x-cache", "content-length"}
    | {"transfer-encoding", "content-encoding", "nel", "report-to"}
)
"""Headers that tell of the way and not of the service."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came back, as far as it may be shown."""

    status: int
    headers: frozenset[str]
    body: Any
    """The shape of the body; of a stream, those of its frames without repetitions."""


def shape_of(value: Any, name: str = "") -> Any:
    """Names and types; of an error, its code and type as they are and its text without ids."""
    if isinstance(value, dict):
        return {key: shape_of(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0])] if value else []
    if isinstance(value, str) and name in {"code", "type", "finish_reason", "object", "role", "message"}:
        return _IDS.sub("<id>", value)[:200]
    return type(value).__name__


def differences(emulated: Any, real: Any, at: str = "") -> Iterator[str]:
    """Where two shapes differ, a sentence for each place."""
    if isinstance(emulated, dict) and isinstance(real, dict):
        for name in sorted(emulated.keys() | real.keys()):
            if name not in real:
                yield f"{at}.{name}: only the emulator has it"
            elif name not in emulated:
                yield f"{at}.{name}: only the service has it"
            else:
                yield from differences(emulated[name], real[name], f"{at}.{name}")
    elif isinstance(emulated, list) and isinstance(real, list) and len(emulated) == len(real):
        for place, (one, other) in enumerate(zip(emulated, real, strict=True)):
            yield from differences(one, other, f"{at}[{place}]")
    elif emulated != real:
        yield f"{at}: {json.dumps(emulated, ensure_ascii=False)} here, {json.dumps(real, ensure_ascii=False)} there"


async def probe(session: aiohttp.ClientSession, root: str, key: str, body: Mapping[str, Any]) -> Exchange:
    """Send one chat."""
    headers = {"Authorization": f"Bearer {key}", "Accept-Language": "en-US,en"}
    async with session.post(f"{root.rstrip('/')}/chat/completions", json=body, headers=headers) as response:
        content = (await response.read()).decode(errors="replace")
        names = frozenset(name.lower() for name in response.headers) - _OF_THE_WAY
        streams = "event-stream" in response.headers.get("Content-Type", "")
        return Exchange(response.status, names, _frames(content) if streams else _whole(content))


def _whole(content: str) -> Any:
    try:
        return shape_of(json.loads(content))
    except ValueError:
        return "no JSON"


def _frames(content: str) -> list[Any]:
    """The shapes of the frames in order; one that repeats its neighbour is left out."""
    shapes: list[Any] = []
    for event in content.replace("\r\n", "\n").split("\n\n"):
        if not event:
            continue
        data = event.removeprefix("data:").strip()
        shape = data if data == "[DONE]" or event.startswith(":") else _whole(data)
        if not shapes or shapes[-1] != shape:
            shapes.append(shape)
    return shapes


async def compare(provider: str, root: str, key: str) -> list[str]:
    """Every difference between the emulator and the service at `root`, a line for each."""
    model, probes = PROBES[provider]
    lines = []
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with running(EmulatorOptions()) as emulator, aiohttp.ClientSession(timeout=timeout) as session:
        here = (getattr(emulator.addresses, provider), getattr(emulator.addresses, f"{provider}_key"))
        for name, fields in probes.items():
            body = {"model": model, "messages": _HELLO, **fields}
            emulated = await probe(session, *here, body)
            real = await probe(session, root, key, body)
            found = [
                *differences(emulated.status, real.status, "status"),
                *(
                    f"header {header}: only the emulator has it"
                    for header in sorted(emulated.headers - real.headers)
                ),
                *(
                    f"header {header}: only the service has it"
                    for header in sorted(real.headers - emulated.headers)
                ),
                *differences(emulated.body, real.body, "body"),
            ]
            lines += [f"{name}: {line}" for line in found]
    return lines


def main(arguments: list[str]) -> int:
    """Run the comparison; 0 when nothing differs, 1 when something does, 2 when it cannot be run."""
    if len(arguments) != 2 or arguments[0] not in PROBES:
        sys.stderr.write(f"Usage: python -m exai_emulator.shadow {{{','.join(PROBES)}}} <base URL>\n")
        return 2
    key = (getpass.getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not key:
        sys.stderr.write("There is no key; give it as a line of input.\n")
        return 2
    try:
        lines = asyncio.run(compare(arguments[0], arguments[1], key))
    except (aiohttp.ClientError, TimeoutError) as error:
        sys.stderr.write(f"The service could not be asked: {type(error).__name__}.\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "Nothing differs.\n")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
