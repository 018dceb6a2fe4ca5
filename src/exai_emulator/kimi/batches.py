"""Kimi's batches: chats of an uploaded file, answered later into another file."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.files import StoredFile
from exai_emulator.provider import ProviderApi
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook
from exai_emulator.tasks import Task

__all__ = ["BEHAVIOURS", "RULES", "KimiBatches"]

_ENDPOINT = "/v1/chat/completions"
_WINDOW = re.compile(r"(\d{1,3})([hd])")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Order:
    """A batch that is asked for, as the rules see it."""

    body: Mapping[str, Any]
    file: StoredFile | None


@dataclass(slots=True)
class _Lines:
    """What becomes of the lines of a batch."""

    answered: list[bytes] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)
    trouble: str = ""
    """Why the batch as a whole fails."""


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _file(order: _Order) -> Refusal | None:
    if order.file is not None and order.file.purpose == "batch":
        return None
    return _bad("Invalid request: input_file_id is no file with purpose batch")


def _endpoint(order: _Order) -> Refusal | None:
    if order.body.get("endpoint") == _ENDPOINT:
        return None
    return _bad(f"Invalid request: only {_ENDPOINT} is supported")


def _window_hours(order: _Order) -> Refusal | None:
    window = order.body.get("completion_window")
    matched = _WINDOW.fullmatch(window) if isinstance(window, str) else None
    hours = int(matched[1]) * (24 if matched[2] == "d" else 1) if matched is not None else 0
    return None if 12 <= hours <= 7 * 24 else _bad("Invalid request: completion_window is between 12h and 7d")


RULES = (
    EndpointRule("kimi.batches.file", "D", "a batch of other than a `batch` upload: 400", _file),
    EndpointRule("kimi.batches.endpoint", "D", "a batch for another endpoint than chat: 400", _endpoint),
    EndpointRule("kimi.batches.window", "D", "a window outside 12h to 7d: 400", _window_hours),
)
BEHAVIOURS = (
    Behaviour("kimi.batches.status", "D", "a batch is in_progress, then completed, failed or cancelled"),
    Behaviour(
        "kimi.batches.lines", "D", "one model throughout and unique `custom_id`s, else the batch fails"
    ),
    Behaviour(
        "kimi.batches.output", "?", "answers are in the file `output_file_id`, refusals in `error_file_id`"
    ),
)


class KimiBatches:
    """The endpoints below `/batches`."""

    def __init__(self, api: ProviderApi, rules: RuleBook, root: str) -> None:
        self._api = api
        self._rules = rules
        self._root = root
        self.endpoints: tuple[tuple[str, str, Endpoint], ...] = (
            ("POST", "/batches", self._create),
            ("GET", "/batches", _list),
            ("GET", "/batches/{id}", _of_batch(_seen)),
            ("POST", "/batches/{id}/cancel", _of_batch(_cancelled)),
        )

    def _create(self, request: EndpointRequest) -> Reply | Refusal:
        body = request.json if isinstance(request.json, dict) else {}
        file_id = body.get("input_file_id")
        file = request.account.find_file(file_id) if isinstance(file_id, str) else None
        if (refusal := self._rules.first_of(RULES, _Order(body, file))) is not None:
            return refusal
        identity = request.identity
        lines = self._lines(request, file.content if file is not None else b"")
        made: dict[str, Any] = {
            "id": f"batch_{identity.digest[:20]}",
            "object": "batch",
            "endpoint": body.get("endpoint"),
            "errors": {"object": "list", "data": [{"code": "invalid_file", "message": lines.trouble}]}
            if lines.trouble
            else None,
            "input_file_id": file_id,
            "completion_window": body.get("completion_window"),
            "created_at": identity.created,
            "metadata": body.get("metadata"),
            "lines": lines,
            "files": (f"file_{identity.digest[20:40]}", f"file_{identity.digest[40:60]}"),
        }
        task = Task.begun(request.account, made)
        return Reply(
            _shown(made, "validating"), commit=lambda: request.account.tasks.update({made["id"]: task})
        )

    def _lines(self, request: EndpointRequest, content: bytes) -> _Lines:
        lines = _Lines()
        ids, models = set(), set()
        for entry in _entries(content):
            ids.add(entry.get("custom_id"))
            chat = entry.get("body")
            call = self._api.read_call(
                {**chat, "stream": False} if isinstance(chat, dict) else chat, self._root, request.account
            )
            models.add(call.asked_model)
            self._answer(request, entry, call, lines)
        if len(ids) < len(lines.answered) + len(lines.failed):
            lines.trouble = "custom_id is not unique"
        elif len(models) > 1:
            lines.trouble = "the lines name several models"
        return lines

    def _answer(
        self, request: EndpointRequest, entry: Mapping[str, Any], call: ChatCall, lines: _Lines
    ) -> None:
        refusal = self._rules.first_refusal(self._api.name, call)
        body: Any
        if refusal is None:
            answer = request.answer_to(call)
            self._api.shape(call, answer)
            status, body = 200, self._api.completion(call, answer, request.identity, None)
        else:
            row = self._api.errors[refusal.error]
            status, body = row.status, self._api.error_body(row, refusal.message)
        response = {"status_code": status, "request_id": request.identity.uuid, "body": body}
        line = _encode({"custom_id": entry.get("custom_id"), "response": response, "error": None})
        (lines.answered if refusal is None else lines.failed).append(line)


def _entries(content: bytes) -> Iterator[Mapping[str, Any]]:
    for line in content.splitlines():
        try:
            entry = msgspec.json.decode(line) if line.strip() else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            entry = {}
        if entry is not None:
            yield entry if isinstance(entry, dict) else {}


def _of_batch(answer: Callable[[EndpointRequest, Task], Reply]) -> Endpoint:
    """An endpoint of one batch, which must exist."""

    def endpoint(request: EndpointRequest) -> Reply | Refusal:
        task = request.account.tasks.get(request.named["id"])
        if task is None:
            return Refusal("not_found", f"Not found the batch {request.named['id'][:80]}")
        return answer(request, task)

    return endpoint


def _list(request: EndpointRequest) -> Reply:
    tasks = list(request.account.tasks.values())[::-1]
    data = [_shown(task.result, _status(request, task)) for task in tasks]
    return Reply({"object": "list", "data": data, "has_more": False})


def _seen(request: EndpointRequest, task: Task) -> Reply:
    """A batch as it stands; its files are there once somebody has seen it completed."""
    status = _status(request, task)
    made = task.result

    def keep() -> None:
        lines: _Lines = made["lines"]
        for file_id, name, kept in zip(
            made["files"], ("output", "error"), (lines.answered, lines.failed), strict=True
        ):
            if kept and status == "completed" and request.account.files.get(file_id) is None:
                request.account.files.add(
                    StoredFile(
                        file_id,
                        f"{made['id']}_{name}.jsonl",
                        "batch",
                        request.uploads.filled(b"\n".join(kept)),
                        request.account.clock.now(),
                    )
                )

    return Reply(_shown(made, status), commit=keep)


def _cancelled(request: EndpointRequest, task: Task) -> Reply:
    status = _status(request, task)
    stopped = "cancelling" if status == "in_progress" else status

    def cancel() -> None:
        if status == "in_progress":
            made = {**task.result, "cancelled": True}
            request.account.tasks[made["id"]] = Task(made, task.begun_at, task.fails)

    return Reply(_shown(task.result, stopped), commit=cancel)


def _status(request: EndpointRequest, task: Task) -> str:
    if task.result.get("cancelled"):
        return "cancelled"
    if task.result["lines"].trouble:
        return "failed"
    return {"running": "in_progress", "failed": "failed", "done": "completed"}[task.status(request.account)]


def _shown(made: Mapping[str, Any], status: str) -> dict[str, Any]:
    """A batch's entry."""
    lines: _Lines = made["lines"]
    done = status == "completed"
    output, error = made["files"]
    shown = {name: value for name, value in made.items() if name not in {"lines", "files", "cancelled"}}
    return {
        **shown,
        "status": status,
        "output_file_id": output if done and lines.answered else None,
        "error_file_id": error if done and lines.failed else None,
        "request_counts": {
            "total": len(lines.answered) + len(lines.failed),
            "completed": len(lines.answered) if done else 0,
            "failed": len(lines.failed) if done else 0,
        },
    }
