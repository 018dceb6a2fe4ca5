"""What the rows of a fault say, as texts for a reader who may quote them. Nobody is named in them who called."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from exai.config import Settings
from exai.config.tree import as_toml, find, values
from exai.error_tracking.reports import DIMENSIONS
from exai.monitoring.recent.seconds import Stretch
from exai.storage.calls.recorded import RecordedCall
from exai.storage.error_tracking.comparison import GoodCalls
from exai.storage.error_tracking.sample_table import SampleRow
from exai.storage.error_tracking.surroundings import RequestTally, ResolvedGroup
from exai.storage.fleet.replicas import ReplicaRow

__all__ = [
    "alike_text",
    "answer_text",
    "call_text",
    "load_text",
    "occurrence_text",
    "requests_text",
    "resolved_text",
    "setting_text",
    "settings_text",
]

MOST_FRAMES = 40
_SHOWN = ("source", "code", "fixable_by", "handled", "logger", "tool", "provider", "model", "door", "client")
_CALL = (
    *("tool", "door", "client", "provider", "model_used", "model_reason", "requests", "began_at", "outcome"),
    *("error_code", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "emulated"),
)
_REQUEST = ("purpose", "provider", "model", "attempts", "outcome", "input_tokens", "output_tokens")


def occurrence_text(body: Mapping[str, Any], at: datetime, release: str) -> str:
    """Tell an occurrence: what it was, its chain with causes first, its frames with the crash last."""
    rows = [f"at: {at.isoformat(timespec='milliseconds')}", f"release: {release or 'not known'}"]
    rows += [f"{name}: {body[name]}" for name in _SHOWN if body.get(name)]
    rows += [f"{name}: {value}" for name, value in sorted(body.get("facts", {}).items())]
    rows += [f"{name}: {value}" for name, value in sorted(body.get("context", {}).items())]
    if body.get("message"):
        rows.append(f"message: {body['message']}")
    for raised in body.get("chain", []):
        detail = f" [{raised['detail']}]" if raised.get("detail") else ""
        rows += ["", f"{raised['type']}: {raised.get('message', '')}{detail}"]
        rows += [_frame(each) for each in raised.get("frames", [])[-MOST_FRAMES:]]
    return "\n".join(rows)


def _frame(frame: Mapping[str, Any]) -> str:
    whose = "" if frame["own"] else " (library)"
    return f"  {frame['module']}:{frame['function']} {frame['file']}:{frame['line']}{whose}"


def call_text(call: RecordedCall) -> str:
    """Tell a call's row, its requests, and in which order it spent its time; nothing of its content."""
    rows = [f"{name}: {_plain(call.facts[name])}" for name in _CALL if call.facts.get(name) is not None]
    rows += [f"{stage}: {spent:.1f}" for stage, spent in call.timings.items()]
    for request in call.requests:
        told = ", ".join(f"{name} {request[name]}" for name in _REQUEST if request.get(name) is not None)
        rows.append(f"request {request['number']}: {told}")
    for number, stage, began, ended, attempt, model in call.spans or ():
        where = f" request {number} attempt {attempt} {model}" if number else ""
        rows.append(f"span {began:.1f} to {ended:.1f} ms: {stage}{where}")
    return "\n".join(rows)


def alike_text(bodies: Sequence[Mapping[str, Any]], good: GoodCalls) -> str:
    """Tell what the kept occurrences have in common, what varies, and how many of the good calls have it too."""
    rows = [f"{len(bodies)} occurrences are compared with {good.total} good calls of the same hours."]
    for what in (*DIMENSIONS, "settings_digest"):
        counted = Counter(str(body[what]) for body in bodies if body.get(what))
        if not counted:
            continue
        share = "all have" if counted.most_common(1)[0][1] == len(bodies) else "vary in"
        told = ", ".join(
            f"{value} ({number}{_of_good(good, what, value)})" for value, number in counted.most_common(6)
        )
        rows.append(f"{share} {what}: {told}")
    messages = Counter(_last_message(body) for body in bodies)
    if len(messages) > 1:
        rows.append("their messages differ:")
        rows += [f"  {number} × {message}" for message, number in messages.most_common(6)]
    return "\n".join(rows)


def _of_good(good: GoodCalls, what: str, value: str) -> str:
    return f"; {good.number(**{what: value})} good" if what in DIMENSIONS and good.kinds else ""


def _last_message(body: Mapping[str, Any]) -> str:
    chain = body.get("chain") or [{}]
    return str(chain[-1].get("message") or body.get("message", ""))[:200]


def settings_text(settings: Settings, run: ReplicaRow | None, runs: Sequence[ReplicaRow]) -> str:
    """Tell which settings differ from their defaults, of texts the names alone; and what the run before had."""
    rows = [*_changed_runs(run, runs)]
    rows += [line for key, value in values(settings) if (line := _differing(key, value)) is not None]
    return "\n".join(rows)


def setting_text(settings: Settings, name: str) -> str | None:
    """Tell a setting; `None`: there is none of this name."""
    for key, value in values(settings):
        if key == name:
            return _differing(key, value) or f"{key} has its default"
    return None


def _differing(key: str, value: Any) -> str | None:
    row = find(key)
    if row is None or as_toml(value) == row.default:
        return None
    is_figure = isinstance(value, bool | int | float) and not row.secret
    return f"{key} = {as_toml(value)} (default {row.default})" if is_figure else f"{key} is set"


def _changed_runs(run: ReplicaRow | None, runs: Sequence[ReplicaRow]) -> Iterator[str]:
    if run is None:
        return
    yield f"run since {_second(run.began_at)}: release {run.release}, settings {run.settings_digest}"
    before = next((each for each in runs if each.began_at < run.began_at), None)
    if before is not None:
        same = "the same settings" if before.settings_digest == run.settings_digest else "other settings"
        ended = "ended in order" if before.ended_at else "has no end: it was killed, crashed, or runs still"
        yield f"run before, since {_second(before.began_at)}: release {before.release}, {same}; it {ended}"


def requests_text(tallies: Sequence[RequestTally]) -> str:
    """Tell how requests to each model went."""
    return "\n".join(
        f"{each.provider}/{each.model}: {each.requests} requests, {each.attempts} attempts: {each.outcome}"
        for each in tallies
    )


def answer_text(body: Mapping[str, Any]) -> str:
    """Tell what a provider answered: its code and status in a sentence of ours. Its own text is not kept."""
    rows = [f"{body.get('provider')}/{body.get('model')}"]
    for raised in body.get("chain", []):
        detail = f" [{raised['detail']}]" if raised.get("detail") else ""
        rows.append(f"{raised['type'].rpartition('.')[2]}: {raised.get('message', '')}{detail}")
    return "\n".join(rows)[:1_000]


def load_text(samples: Iterable[SampleRow], stretches: Iterable[Stretch]) -> str:
    """Tell how busy the process was in that minute, and second by second around it."""
    rows = [
        f"{each.name}: mean {each.mean:,.6g}, highest {each.max:,.6g}, at its limit {each.full:.0%} of the minute"
        for each in samples
    ]
    rows += [
        f"{each.name} in that second: {each.at:,.6g}; within 60 s of it: mean {each.mean:,.6g}, "
        f"highest {each.highest:,.6g}"
        for each in stretches
    ]
    return "\n".join(rows)


def resolved_text(groups: Iterable[ResolvedGroup]) -> str:
    """Tell groups like it that were resolved, with what was noted."""
    return "\n".join(
        f"E-{each.number} {each.title} ({each.culprit}), resolved{f' in {each.release}' if each.release else ''}: "
        f"{each.note or 'without a note'}"
        for each in groups
    )


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
