"""Each argument of each tool, over a real door: a call that has it shows what the same call without it does not."""

import asyncio
import json
import shlex
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from checks.opening import unserved_registry

from evidence.test_trees import TOKEN
from exai_emulator import Emulator, Fault, Persona, ReplyRule
from exai_emulator.log import RequestRecord
from exai_emulator.reporting.findings import Judging, ScriptedFinding
from exai_emulator.reporting.turns import Report
from support.daemon_in_process import StartInProcess
from support.document_parts import docx_of
from support.drawn_pictures import drawn
from support.mcp_websocket import McpSocket, mcp_socket
from support.repositories import GitRepository

pytestmark = pytest.mark.virtual_time

BROKE = "[no balance]"
SLOW = "[one is slow]"
LONG = "[at length]"
ELSEWHERE = {"errors"}
"""Its arguments are those of the tools of port 8081, which have tests of their own."""
HANDLES = ("conversation", "long conversation", "finding", "plan", "file", "secret")
NOT_NEEDED: Mapping[str, frozenset[str]] = {
    "consensus": frozenset({"total_steps", "next_step_required", "findings"}),
    "analyze": frozenset({"use_assistant_model"}),
    "review": frozenset({"max_answer_tokens"}),
}
"""Taken of agents that know them from other servers, and said in the manual to be not needed."""

OTHER = "from pool import Pool\n\nVALUE = 1\n\n\ndef use():\n    return Pool().get()\n"
POOL = "class Pool:\n    def get(self):\n        return self.free.pop()\n"
CHANGED = (
    "class Pool:\n    def get(self):\n        conn = self._open(self.address)\n        conn.ping(1)\n"
    "        return conn\n"
)
LEAK = {
    "severity": "high",
    "category": "resource-leak",
    "path": "pool.py",
    "from": 3,
    "to": 3,
    "quote": "conn = self._open(self.address)",
    "message": "conn stays open where ping fails",
}
COUNT = {
    "severity": "medium",
    "category": "logic",
    "path": "pool.py",
    "from": 5,
    "to": 5,
    "quote": "return conn\n",
    "message": "nobody counts it",
}
READER = Persona(
    "reader",
    report=Report(
        findings=(ScriptedFinding(fields=LEAK), ScriptedFinding(fields=COUNT)),
        judging=Judging(pattern=r"^│(?P<id>R\d+)\. .*?(?=^│R\d+\. |\Z)"),
    ),
)


@dataclass(frozen=True)
class Seen:
    """What a call shows: to its caller, and to the emulator."""

    result: Mapping[str, Any]
    """Its structure; of an error, nothing."""
    text: str
    requests: tuple[Mapping[str, Any], ...]
    paths: str
    """Where requests went."""

    @property
    def everything(self) -> str:
        return json.dumps([self.result, self.text, self.requests, self.paths], ensure_ascii=False)


Shows = str | Callable[[Seen], bool]
"""What a call shows that has an argument, and does not show without it: a text, or what is looked at."""


@dataclass(frozen=True)
class Row:
    """A call, arguments that it is made with besides, and what is seen of each."""

    tool: str
    base: Mapping[str, Any] | Callable[[], Awaitable[Mapping[str, Any]]]
    """Its arguments; or what makes a state and returns them, for each of the two calls anew."""
    changes: Mapping[str, tuple[Any, Shows]]


class World:
    """A daemon, and what calls may name."""

    def __init__(self, root: Path, client: McpSocket, emulator: Emulator) -> None:
        self.root = root
        self.address = ""
        """Of the door over HTTP."""
        self.note, self.key, self.pool = (str(root / name) for name in ("note.txt", "key.py", "pool.py"))
        self.code = {"workspace": str(root)}
        self._client = client
        self._emulator = emulator
        self._seen: dict[str, Seen] = {}
        self.handles = dict.fromkeys(HANDLES, "")

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Seen:
        """Make a call."""
        before = len(self._emulator.log.requests)
        result = await self._client.tool(tool, dict(arguments))
        records = self._emulator.log.requests[before:]
        if BROKE in json.dumps(arguments):
            await asyncio.sleep(120)  # until the breaker that this opened has closed again
        text = [str(block.get("text", "")) for block in result["content"]]
        if "command" in (structured := result.get("structuredContent") or {}):
            text.append(await _uploaded(structured["command"], self.address))
        facts = json.dumps(result.get("_meta", {}).get("exai/error", {}))
        return Seen(
            structured,
            "\n".join([*text, facts]),
            tuple(record.body for record in records if isinstance(record.body, dict)),
            " ".join(map(_path, records)),
        )

    async def prepare(self) -> None:
        """Make what calls refer to."""
        chat = await self.handle("chat", "continuation_id", prompt="What are herons?")
        longer = await self.handle("chat", "continuation_id", prompt="What are storks?")
        for number in range(2):
            await self.call("chat", {"prompt": f"And {number}?", "continuation_id": longer})
        self.handles |= {
            "conversation": chat,
            "long conversation": longer,
            "plan": await self.handle("plan", "plan_id", step="Nest.", step_number=1),
            "file": await self.handle("files", "id", action="put", path=str(self.root / "lines.txt")),
            "secret": await self.handle("files", "id", action="put", path=str(self.root / "token.txt")),
        }

    async def review(self) -> None:
        """Have a finding that verdicts can be given on."""
        reviewed = await self.call("review", {**self.code, "paths": ["pool.py"]})
        self.handles["finding"] = reviewed.result["findings"][0]["id"]

    async def handle(self, tool: str, field: str, /, **arguments: Any) -> str:
        """Make a call for the handle that its result has."""
        seen = await self.call(tool, arguments)
        assert field in seen.result, seen
        return str(seen.result[field])

    async def faults_of(self, row: Row) -> list[str]:
        """Make the call without the arguments, and with them; name those of which nothing is seen."""
        base = row.base if isinstance(row.base, Mapping) else await row.base()
        key = json.dumps([row.tool, base])
        without = self._seen.get(key) or await self.call(row.tool, base)
        if isinstance(row.base, Mapping):
            self._seen[key] = without
        else:
            base = await row.base()
        given = {name: value for name, (value, _) in row.changes.items()}
        with_them = await self.call(row.tool, {**base, **given})
        found = []
        for name, (_, shows) in row.changes.items():
            if _shown(shows, without):
                found.append(f"{row.tool} {name}: seen without it as well, in {without.everything[:600]}")
            if not _shown(shows, with_them):
                found.append(f"{row.tool} {name}: nothing is seen of it in {with_them.everything[:1500]}")
        return found


def _path(record: RequestRecord) -> str:
    return record.path


async def _uploaded(command: str, address: str) -> str:
    """Do what a command of `authorize` does, with five bytes, at the address of the daemon; say how it ended."""
    path = urlsplit(shlex.split(command)[-1]).path
    form = aiohttp.FormData()
    form.add_field("file", b"heron", filename="heron.txt")
    async with (
        aiohttp.ClientSession() as session,
        session.post(urljoin(address, path), data=form) as response,
    ):
        return f"uploaded: {response.status} {await response.text()}"


def _shown(shows: Shows, seen: Seen) -> bool:
    return shows in seen.everything if isinstance(shows, str) else shows(seen)


def asked(name: str, value: Any) -> Shows:
    """Whether the first request has this value under a name."""
    return lambda seen: bool(seen.requests) and seen.requests[0].get(name) == value


def capped(tokens: int) -> Shows:
    """Whether an answer may have so many tokens."""
    return lambda seen: any(
        tokens in (body.get("max_tokens"), body.get("max_completion_tokens")) for body in seen.requests
    )


def has(name: str, value: Any) -> Shows:
    """Whether the result has this value under a name."""
    return lambda seen: seen.result.get(name) == value


def low_effort(seen: Seen) -> bool:
    """Whether the first request asks for little thinking."""
    return bool(seen.requests) and '"low"' in json.dumps(seen.requests[0].get("reasoning_effort"))


def asks(seen: Seen) -> bool:
    """Whether a model is asked."""
    return bool(seen.requests)


def goes_on(seen: Seen) -> bool:
    """Whether the answer is in a file from somewhere on."""
    return bool(seen.result.get("more"))


def said_by(model: str) -> Shows:
    """Whether this model answered first."""
    return lambda seen: str(seen.result.get("model_used")).startswith(model)


def of_asking(tool: str, question: str, **base: Any) -> Iterator[Row]:
    """What tools have in common that ask a model, one question in `question`."""
    plain = {question: "Why?", **base}
    yield Row(
        tool,
        plain,
        {
            question: ("Why herons?", "Why herons?"),
            "effort": ("low", low_effort),
            "temperature": (0.3, asked("temperature", 0.3)),
        },
    )
    yield Row(tool, plain, {"dry_run": (True, "Nothing was sent")})
    yield Row(tool, plain, {"budget_usd": (1e-9, "budget_too_small")})


def of_one_model(tool: str, question: str, **base: Any) -> Iterator[Row]:
    """The same of tools whose caller may say which model it is."""
    yield from of_asking(tool, question, **base)
    yield Row(tool, {question: "Why?", **base}, {"model": ("kimi-k2.6", asked("model", "kimi-k2.6"))})
    broke = {question: f"Why? {BROKE}", **base, "model": "glm-5.3"}
    yield Row(tool, broke, {"fallback_models": (["kimi-k2.6"], said_by("kimi-k2.6"))})


def of_conversations(world: World, tool: str, **base: Any) -> Iterator[Row]:
    """Of tools that go on with one."""
    handle = world.handles["conversation"]
    yield Row(tool, base, {"continuation_id": (handle, has("continuation_id", handle))})
    copied: Shows = lambda seen: seen.result.get("continuation_id") not in {None, handle}  # noqa: E731
    yield Row(tool, {**base, "continuation_id": handle}, {"fork": (True, copied)})


def of_guided(world: World, tool: str, **base: Any) -> Iterator[Row]:
    """Of the form in which the caller investigates."""
    first = {**base, "step": "Look.", "step_number": 1, "total_steps": 3, "next_step_required": True}
    yield Row(
        tool,
        first,
        {"total_steps": (7, '"total_steps": 7'), "confidence": ("high", '"confidence": "high"')},
    )
    yield Row(tool, first, {"step_number": (2, "goes on with step 1, and this is 2")})
    yield Row(tool, first, {"autonomy": ("server", asks), "step": ("Look at herons.", "Look at herons.")})
    yield Row(
        tool,
        first,
        {
            "next_step_required": (False, asks),
            "findings": ("Grey findings.", "Grey findings."),
            "files_checked": (["checked.py"], "Files I looked at: checked.py"),
            "relevant_context": (["Pool.get"], "Functions that matter: Pool.get"),
            "issues_found": ([{"severity": "low", "description": "Wet feet."}], "issue (low): Wet feet."),
            "hypothesis": ("It is the rain.", "It is the rain."),
            "relevant_files": ([world.note], "Chervil"),
        },
    )

    async def two_steps() -> Mapping[str, Any]:
        handle = await world.handle(tool, "continuation_id", **first)
        await world.call(tool, {**first, "continuation_id": handle, "step_number": 2})
        return {**first, "continuation_id": handle}

    yield Row(tool, two_steps, {"backtrack_from_step": (1, "1 count.")})


def of_chat(world: World) -> Iterator[Row]:
    yield from of_one_model("chat", "prompt")
    yield from of_conversations(world, "chat", prompt="Why?")
    yield Row(
        "chat",
        {"prompt": "Why?", "model": "kimi-k3"},
        {
            "absolute_file_paths": ([world.note], "Chervil"),
            "images": ([str(world.root / "dot.png")], "image_url"),
            "use_websearch": (True, "without searching the web"),
            "max_answer_tokens": (77, capped(77)),
        },
    )
    yield Row("chat", {"prompt": "Why?", "absolute_file_paths": [world.key]}, {"send_secrets": (True, TOKEN)})
    document = {"prompt": "Why?", "model": "kimi-k3", "absolute_file_paths": [str(world.root / "words.docx")]}
    yield Row("chat", document, {"read_documents": ("provider", "/files")})


def of_think(world: World) -> Iterator[Row]:
    yield from of_one_model("think", "problem")
    yield from of_conversations(world, "think", problem="Why?")
    yield from of_guided(world, "think")
    plain = {"problem": "Why?"}
    yield Row(
        "think",
        plain,
        {
            "absolute_file_paths": ([world.note], "Chervil"),
            "focus": ("Their feet.", "Their feet."),
            "max_answer_tokens": (77, capped(77)),
        },
    )
    yield Row("think", plain, {"use_assistant_model": (False, lambda seen: len(seen.requests) < 3)})
    yield Row("think", {**plain, "absolute_file_paths": [world.key]}, {"send_secrets": (True, TOKEN)})


def of_debug(world: World) -> Iterator[Row]:
    plain = {"problem": "Why?"}
    yield from of_one_model("debug", "problem")
    yield from of_conversations(world, "debug", **plain)
    yield from of_guided(world, "debug")
    yield Row(
        "debug",
        plain,
        {"log": ("Grey feathers.", "Grey feathers."), "paths": ([world.note], "Chervil")},
    )
    yield Row("debug", plain, {"max_answer_tokens": (5, goes_on)})
    yield Row("debug", plain, {"use_assistant_model": (False, lambda seen: len(seen.requests) == 1)})
    yield Row("debug", {**plain, "paths": [world.key]}, {"send_secrets": (True, TOKEN)})
    named = {"problem": "Why is pool.py slow?"}
    yield Row("debug", named, {"workspace": (str(world.root), "conn.ping(1)")})
    explores: Shows = lambda seen: asks(seen) and "tools" not in seen.requests[0]  # noqa: E731
    yield Row("debug", {**named, **world.code}, {"depth": ("quick", explores)})


def of_review(world: World) -> Iterator[Row]:
    plain = {**world.code, "paths": ["pool.py"]}
    yield Row("review", {"paths": ["pool.py"]}, {"workspace": (str(world.root), "conn.ping(1)")})
    yield Row(
        "review",
        plain,
        {
            "paths": (["other.py"], "the files `other.py`"),
            "kind": ("security", "security defects alone"),
            "focus": ("Their feet.", "Their feet."),
            "rules": ("No feathers.", "No feathers."),
            "effort": ("low", low_effort),
            "temperature": (0.3, asked("temperature", 0.3)),
        },
    )
    yield Row("review", plain, {"change": ("unstaged", "the change `unstaged`")})
    only_one: Shows = lambda seen: len(seen.result.get("findings", ())) == 1  # noqa: E731
    yield Row("review", plain, {"min_severity": ("high", only_one)})
    yield Row("review", plain, {"max_findings": (1, only_one)})
    yield Row("review", plain, {"min_confidence": (1.0, lambda seen: not seen.result.get("findings"))})
    yield Row("review", plain, {"depth": ("quick", lambda seen: len(seen.requests) == 1)})
    renamed: Shows = lambda seen: seen.result["findings"][0]["id"] != world.handles["finding"]  # noqa: E731
    yield Row("review", plain, {"repository": ("herons", renamed)})
    unrefuted: Shows = lambda seen: asks(seen) and "asked to refute" not in seen.everything  # noqa: E731
    yield Row("review", {**plain, "depth": "deep"}, {"use_assistant_model": (False, unrefuted)})
    yield Row(
        "review",
        {**world.code, "change": "all"},
        {"exclude": (["pool.py"], lambda seen: "conn.ping(1)" not in seen.everything)},
    )


def of_review_calls(world: World) -> Iterator[Row]:
    plain = {**world.code, "paths": ["pool.py"]}
    yield from of_work(world, "review", **plain)
    yield from of_guided(world, "review", **world.code)
    yield Row("review", {**plain, "relevant_files": [world.key]}, {"send_secrets": (True, TOKEN)})


def of_plan(world: World) -> Iterator[Row]:
    yield from of_one_model("plan", "goal")
    yield Row("plan", {"goal": "Why?"}, {"absolute_file_paths": ([world.note], "Chervil")})
    yield Row("plan", {"goal": "Why?", "absolute_file_paths": [world.key]}, {"send_secrets": (True, TOKEN)})
    plan = {"plan_id": world.handles["plan"]}
    yield Row("plan", {}, {"plan_id": (world.handles["plan"], has("goal", "Nest."))})
    yield Row("plan", plan, {"update": ([{"title": "Lay eggs."}], "Lay eggs.")})
    update = {**plan, "update": [{"title": "Hatch."}]}
    yield Row("plan", update, {"revision": (99, "Nothing was changed")})
    first = {"step": "Nest.", "step_number": 1, "total_steps": 3}
    yield Row(
        "plan", first, {"step": ("Nest in reeds.", "Nest in reeds."), "total_steps": (7, '"total_steps": 7')}
    )
    yield Row("plan", first, {"next_step_required": (False, lambda seen: "next_call" not in seen.result)})
    yield Row("plan", {**first, "next_step_required": False}, {"more_steps_needed": (True, '"next_call"')})
    yield Row("plan", first, {"step_number": (2, "a plan begins with step 1, and this is 2")})
    for name, value in (("revises_step_number", 1), ("branch_from_step", 1), ("branch_id", "reeds")):
        yield Row(
            "plan",
            first,
            {name: (value, f"Argument '{name}': step 1 begins a plan")}
            if name != "branch_from_step"
            else {name: (value, "Argument 'branch_id'")},
        )

    async def second() -> Mapping[str, Any]:
        handle = await world.handle("plan", "plan_id", **first)
        await world.call("plan", {**first, "plan_id": handle, "step_number": 2})
        return {**first, "plan_id": handle, "step_number": 3}

    yield Row("plan", second, {"is_step_revision": (True, "Argument 'revises_step_number': say which")})
    yield Row("plan", second, {"revises_step_number": (2, "Revised by step 3.")})
    yield Row("plan", second, {"is_branch_point": (True, "Argument 'branch_from_step': say at which")})
    yield Row(
        "plan", second, {"branch_from_step": (2, '"parent": 1'), "branch_id": ("reeds", '"branch": "reeds"')}
    )


def of_analyze(world: World) -> Iterator[Row]:
    plain = {**world.code, "question": "What is in pool.py?"}
    yield Row("analyze", {"question": plain["question"]}, {"workspace": (str(world.root), "conn.ping(1)")})
    yield Row(
        "analyze",
        plain,
        {
            "question": ("Why are herons in pool.py?", "Why are herons in pool.py?"),
            "paths": (["other.py"], "VALUE = 1"),
            "effort": ("low", low_effort),
            "temperature": (0.3, asked("temperature", 0.3)),
            "max_answer_tokens": (77, capped(77)),
            "analysis_type": ("security", "what an attacker could reach"),
            "output_format": ("summary", "at most ten lines"),
        },
    )
    yield Row("analyze", plain, {"kind": ("trace", "flowchart LR"), "target": ("Pool.get", "of `Pool.get`")})
    yield from of_work(world, "analyze", **plain)
    yield from of_guided(world, "analyze", **world.code)
    yield Row("analyze", {**plain, "relevant_files": [world.key]}, {"send_secrets": (True, TOKEN)})


def of_work(world: World, tool: str, **plain: Any) -> Iterator[Row]:
    """What tools that read a workspace have in common, of which each call begins a process."""
    yield from of_conversations(world, tool, **plain)
    yield Row(
        tool, plain, {"dry_run": (True, "Nothing was sent"), "model": ("kimi-k2.6", said_by("kimi-k2.6"))}
    )
    yield Row(tool, plain, {"budget_usd": (1e-9, "budget_too_small")})
    refused = {**plain, "model": "glm-5.3", "dry_run": True}
    yield Row(tool, refused, {"fallback_models": (["grey-heron"], "There is no model")})


def of_write(world: World) -> Iterator[Row]:
    plain = {**world.code, "kind": "docs", "paths": ["pool.py"]}
    elsewhere = {"kind": "docs", "paths": ["pool.py"]}
    yield Row("write", elsewhere, {"workspace": (str(world.root), "conn.ping(1)")})
    yield Row(
        "write",
        plain,
        {
            "kind": ("tests", "Write tests for"),
            "paths": (["other.py"], "VALUE = 1"),
            "instructions": (f"Mind their feet {LONG}.", "Mind their feet"),
            "effort": ("low", low_effort),
            "temperature": (0.3, asked("temperature", 0.3)),
            "max_answer_tokens": (5, goes_on),
        },
    )
    yield from of_work(world, "write", **plain)
    yield Row("write", {**plain, "paths": [world.key]}, {"send_secrets": (True, TOKEN)})


def of_consensus(world: World) -> Iterator[Row]:
    two = ["glm-5.3", "kimi-k3"]
    yield from of_asking("consensus", "question", models=two)
    plain = {"question": "Shall we?", "models": two}
    yield Row(
        "consensus",
        plain,
        {
            "models": (
                ["glm-5.3", "kimi-k2.6"],
                lambda seen: any(body["model"] == "kimi-k2.6" for body in seen.requests[:2]),
            )
        },
    )
    yield Row(
        "consensus",
        plain,
        {"absolute_file_paths": ([world.note], "Chervil"), "options": (["heron", "stork"], "stork")},
    )
    pictures = {"question": "Shall we?", "models": ["kimi-k3", "kimi-k2.6"]}
    yield Row("consensus", pictures, {"images": ([str(world.root / "dot.png")], "image_url")})
    yield Row("consensus", plain, {"rebuttal": (False, lambda seen: len(seen.requests) < 5)})
    yield Row(
        "consensus",
        plain,
        {
            "arbiter": (
                "none",
                lambda seen: asks(seen) and all(body["model"] in two for body in seen.requests),
            )
        },
    )
    yield Row("consensus", {**plain, "question": LONG}, {"max_answer_tokens": (5, goes_on)})
    yield Row("consensus", {**plain, "absolute_file_paths": [world.key]}, {"send_secrets": (True, TOKEN)})
    yield Row("consensus", plain, {"step_number": (2, "a vote is one call here")})
    slow = {
        "question": f"Shall we? {SLOW}",
        "models": ["glm-5.3", "glm-5.3-flash", "kimi-k3", "kimi-k2.6"],
        "rebuttal": False,
    }
    yield Row("consensus", slow, {"early_stop": (True, "not_awaited")})
    yield Row("consensus", slow, {"deadline_s": (5, "deadline_exceeded")})


def of_challenge(world: World) -> Iterator[Row]:
    yield from of_one_model("challenge", "statement", independent=True)
    plain = {"statement": "Herons swim."}
    yield Row("challenge", plain, {"independent": (True, asks)})
    yield Row("challenge", plain, {"absolute_file_paths": ([world.note], "Chervil")})
    yield Row("challenge", {"statement": LONG, "independent": True}, {"max_answer_tokens": (5, goes_on)})
    yield Row("challenge", {**plain, "absolute_file_paths": [world.key]}, {"send_secrets": (True, TOKEN)})


def of_search(_: World) -> Iterator[Row]:
    plain = {"query": "birds"}
    yield Row("search", plain, {"query": ("herons", "herons")})
    yield Row("search", plain, {"count": (2, lambda seen: len(seen.result["results"]) == 2)})
    yield Row("search", plain, {"engine": ("glm", "web_search")})
    glm = {**plain, "engine": "glm"}
    yield Row(
        "search", glm, {"recency": ("week", "oneWeek"), "domains": (["heron.example"], "heron.example")}
    )


def of_files(world: World) -> Iterator[Row]:
    file = {"id": world.handles["file"]}
    yield Row("files", {"action": "list"}, {"action": ("show", "show needs `id`")})
    yield Row("files", {"action": "read"}, {"id": (file["id"], "Line 2 of 9")})
    read = {"action": "read", **file}
    yield Row("files", read, {"from_line": (3, has("from_line", 3)), "to_line": (5, has("to_line", 5))})
    put = {"action": "put", "path": world.pool}
    yield Row("files", {"action": "put"}, {"path": (world.note, "note.txt")})
    yield Row("files", {"action": "put"}, {"paths": ([world.note, world.pool], "pool.py")})
    yield Row("files", put, {"name": ("heron.py", "heron.py"), "provider": ("kimi", has("sent_to", "kimi"))})
    send = {"action": "send", "provider": "kimi", **file}
    yield Row("files", send, {"purpose": ("heron", "heron")})
    secret = {"action": "send", "provider": "kimi", "id": world.handles["secret"]}
    yield Row("files", secret, {"send_secrets": (True, has("sent_to", "kimi"))})
    ticket = {"action": "authorize", "path": "/there/heron.txt"}
    refused: Shows = lambda seen: "uploaded: 4" in seen.text  # noqa: E731
    yield Row("files", ticket, {"bytes": (4, refused)})
    yield Row("files", ticket, {"sha256": ("0" * 64, refused)})


def of_status(world: World) -> Iterator[Row]:
    yield Row("status", {}, {"section": ("doctor", "Nothing is wrong as far as EXAI sees.")})
    yield Row("status", {}, {"id": ("last", '"call"')})
    finding = {"id": world.handles["finding"], "verdict": "dismissed"}
    yield Row("status", finding, {"verdict": ("accepted", "accepted")})
    yield Row("status", finding, {"reason": ("It is a wading bird.", "It is a wading bird.")})


def of_models(_: World) -> Iterator[Row]:
    yield Row("models", {}, {"provider": ("kimi", lambda seen: '"name": "glm"' not in seen.everything)})
    yield Row("models", {}, {"model": ("kimi-k3", '"details"')})


def of_own_conversations(world: World) -> Iterator[Row]:
    handle = {"continuation_id": world.handles["long conversation"]}
    yield Row("conversations", {"action": "list"}, {"action": ("search", "search needs `text`")})
    yield Row(
        "conversations",
        {"action": "show"},
        {"continuation_id": (handle["continuation_id"], "What are storks?")},
    )
    yield Row(
        "conversations", {"action": "search", "text": "nowhere"}, {"text": ("storks", "What are storks?")}
    )
    show = {"action": "show", **handle}
    yield Row(
        "conversations", show, {"exchange": (2, lambda seen: bool(seen.result) and "## 1:" not in seen.text)}
    )

    async def long() -> Mapping[str, Any]:
        begun = await world.handle("chat", "continuation_id", prompt="One?")
        for number in "Two?", "Three?":
            await world.call("chat", {"prompt": number, "continuation_id": begun})
        return {"action": "compact", "continuation_id": begun, "keep": 1}

    yield Row("conversations", long, {"model": ("kimi-k2.6", asked("model", "kimi-k2.6"))})
    yield Row("conversations", long, {"keep": (2, "its first 1 exchanges")})


def of_echo(_: World) -> Iterator[Row]:
    yield Row("test_echo", {}, {"text": ("Herons.", "Herons.")})


GROUPS: Mapping[str, tuple[Callable[[World], Iterator[Row]], ...]] = {
    "questions": (of_chat, of_think, of_plan, of_consensus, of_challenge),
    "others": (of_search, of_files, of_models, of_own_conversations, of_echo),
    "debug": (of_debug,),
    "review": (of_review, of_status),
    "calls of review": (of_review_calls,),
    "analyze": (of_analyze,),
    "write": (of_write,),
}
"""Each has a daemon."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a change, and files of every kind."""
    folder = tmp_path / "root"
    repository = GitRepository(folder)
    repository.commit({"pool.py": POOL, "other.py": OTHER, "key.py": "KEY = 1\n"}, "begin")
    (folder / "pool.py").write_text(CHANGED)
    (folder / "key.py").write_text(f"KEY = '{TOKEN}'\n")
    (folder / "note.txt").write_text("The file's secret word is Chervil.")
    (folder / "lines.txt").write_text("".join(f"Line {number} of 9.\n" for number in range(1, 10)))
    (folder / "token.txt").write_text(f"Mine: {TOKEN}\n")
    (folder / "dot.png").write_bytes(drawn("PNG", 4, 4))
    (folder / "words.docx").write_bytes(docx_of("Herons stand."))
    return folder


def test_every_argument_has_a_row(emulator: Emulator, tmp_path: Path) -> None:
    world: World = World(tmp_path, cast("McpSocket", None), emulator)
    registry = unserved_registry()
    left = {
        name: set(tool.arguments.__struct_encode_fields__) - NOT_NEEDED.get(name, frozenset())
        for name, (tool, alias) in registry._tools.items()
        if alias is None and name not in ELSEWHERE
    }
    for row in [row for group in GROUPS.values() for made in group for row in made(world)]:
        left[row.tool] -= row.changes.keys()
    assert {name: sorted(arguments) for name, arguments in left.items() if arguments} == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", GROUPS)
async def test_what_has_an_argument_shows_it_and_what_has_not_does_not(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path, root: Path, group: str
) -> None:
    (tmp_path / "second").mkdir()
    roots = json.dumps([str(root), str(tmp_path / "second")])  # two, so that no workspace is meant unsaid
    emulator.script.reply(ReplyRule(BROKE[1:-1], fault=Fault(error="1113"), provider="glm"))
    emulator.script.reply(
        ReplyRule(SLOW[1:-1], Persona("auto", first_byte_delay_ms=20_000), model="kimi-k2.6")
    )
    emulator.script.reply(ReplyRule(LONG[1:-1], Persona("fixed", text="Herons wade. " * 200)))
    emulator.persona = READER
    async with (
        start_in_process(EXAI_FILES__ROOTS=roots, EXAI_SERVER__PUBLIC_URL="http://127.0.0.1:1") as daemon,
        mcp_socket(daemon.mcp_ws) as client,
    ):
        world = World(root, client, emulator)
        world.address = daemon.mcp_http
        await world.prepare()
        if of_status in GROUPS[group]:
            await world.review()
        rows = [row for made in GROUPS[group] for row in made(world)]
        faults = [fault for row in rows for fault in await world.faults_of(row)]
    assert not faults, "\n".join(faults)
