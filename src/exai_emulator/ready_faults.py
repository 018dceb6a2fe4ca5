"""Faults by name: every way in which the services are known, or feared, to fail, ready to be ordered."""

from collections.abc import Mapping
from dataclasses import dataclass

from exai_emulator.faults import Fault

__all__ = ["READY_FAULTS", "ReadyFault", "ready_fault"]

_SLOW_MS = 10_000.0


@dataclass(frozen=True, slots=True)
class ReadyFault:
    """One fault with its evidence."""

    name: str
    marks: str
    summary: str
    fault: Fault


def _ready(name: str, marks: str, summary: str, **parts: object) -> ReadyFault:
    return ReadyFault(name, marks, summary, Fault(**parts))  # type: ignore[arg-type]  # as the rows below have them


_EVERYWHERE = (
    _ready("slow_first_token", "I", "headers, then 10 s of silence", before_first_byte_ms=_SLOW_MS),
    _ready("slow_headers", "I", "10 s of silence, then everything", before_headers_ms=_SLOW_MS),
    _ready("stall", "I", "silence after three frames, until the client leaves", cut="stall", after_frames=3),
    _ready(
        "stall_then_on",
        "I",
        "10 s of silence after three frames",
        cut="stall",
        after_frames=3,
        stall_ms=_SLOW_MS,
    ),
    _ready("trickle", "I", "one byte per second", cut="trickle"),
    _ready("reset_before_headers", "I", "RST before the status line", cut="reset", at="before_headers"),
    _ready("reset_after_headers", "I", "RST after the headers", cut="reset", at="after_headers"),
    _ready(
        "reset_mid_frame", "I", "RST inside the fourth frame", cut="reset", at="mid_frame", after_frames=3
    ),
    _ready(
        "early_end", "I", "the stream ends well, but without finish and `[DONE]`", cut="end", after_frames=3
    ),
    _ready("early_fin", "I", "FIN after three frames", cut="close", after_frames=3),
    _ready("done_missing", "I", "the stream ends without `[DONE]`", done="missing"),
    _ready("cut_frame", "I", "a frame's JSON is cut", frame="truncated_json", after_frames=3),
    _ready("other_frame", "?", "a frame that is no JSON", frame="not_json", after_frames=3),
    _ready("repeated_text", "I", "a piece of text comes twice", frame="duplicate", after_frames=4),
    _ready("wrong_index", "I", "a choice of another index", frame="wrong_index", after_frames=3),
    _ready("missing_id", "I", "a frame without id", frame="missing_id", after_frames=3),
    _ready("null_delta", "?", "a delta that is null", frame="null_delta", after_frames=3),
    _ready("missing_choices", "?", "a frame without choices", frame="missing_choices", after_frames=3),
    _ready("empty_choices", "?", "no choices in the first frame", frame="empty_choices", after_frames=0),
    _ready("unknown_finish", "?", "a finish reason that nobody knows", finish_reason="emulated_unknown"),
    _ready("short_body", "?", "fewer bytes than announced, or no last chunk", cut="truncate"),
    _ready("cut_gzip", "?", "half of a compressed answer", gzip="cut"),
    _ready("bad_chunk", "?", "a chunk whose size is no number", cut="bad_chunk"),
    _ready("html_200", "?", "HTML with status 200", error="html_200"),
    _ready("empty_200", "?", "an empty body with status 200", error="empty_200"),
    _ready("empty_502", "I", "a gateway's 502 without a body", error="empty_502"),
    _ready("no_usage", "I", "no usage anywhere", usage="none"),
    _ready("null_content", "D", "null content", content="null"),
    _ready("only_thinking", "I", "thinking and no content, finish `stop`", content="reasoning_only"),
    _ready("wrong_type", "?", "another Content-Type", headers={"Content-Type": "text/plain"}),
    _ready(
        "keep_alives_after_end",
        "I",
        "the finish reason and the usage, then comments instead of `[DONE]`",
        done="withheld",
        heartbeat_ms=1_000.0,
    ),
    _ready("deep_answer", "?", "choices that are nested 200,000 deep", frame="deep", after_frames=0),
    _ready(
        "deep_error",
        "?",
        "500 with an error that is nested 30,000 deep",
        status=500,
        body='{"error":' + "[" * 30_000,
    ),
    _ready("half_surrogate", "I", "half a surrogate pair in the content", frame="half_surrogate"),
    _ready("split_surrogate", "I", "a surrogate pair over two frames", frame="split_surrogate"),
    _ready(
        "odd_types", "?", "an index that is a text, content that is a list", frame="odd_types", after_frames=2
    ),
    _ready("infinite_usage", "?", "token counts of `1e400`", counts="infinite"),
    _ready("long_usage", "?", "token counts of 4,999 digits", counts="long"),
    _ready("endless", "?", "content without end", endless=True),
    _ready("huge_headers", "?", "a header of 20 kB", headers={"X-Emulated": "x" * 20_000}),
)

_GLM = (
    _ready("rate_limit", "DL", "429/1302, no header", error="1302"),
    _ready("overload", "W", "429/1305, no header", error="1305"),
    _ready("slow_overload", "W", "429/1305 after 2 s", error="1305", before_headers_ms=2_000.0),
    _ready("no_balance", "DI", "429/1113", error="1113"),
    _ready("plan_window", "DL", "429/1308 with the time of the reset", error="1308"),
    _ready("fair_use", "D", "429/1313", error="1313"),
    _ready("process_error", "D", "500/1230", error="1230"),
    _ready("network_error", "D", "500/1234", error="1234"),
    _ready("empty_503", "I", "503 without a body", error="empty_503"),
    _ready("error_in_stream", "SI", "an `error` frame, then the end", frame="error", after_frames=3),
    _ready("finish_network_error", "DI", "the finish reason `network_error`", finish_reason="network_error"),
    _ready("finish_sensitive", "D", "the finish reason `sensitive`", finish_reason="sensitive"),
    _ready(
        "finish_window",
        "D",
        "the finish reason `model_context_window_exceeded`",
        finish_reason="model_context_window_exceeded",
    ),
    _ready("upper_case_model", "L", "the model in upper case", echo_model="GLM-5.3"),
    _ready("another_model", "L", "another model answers", echo_model="glm-4.7-ali"),
    _ready("envelope_drift", "S", "status 200 with `success: false`", error="envelope_drift"),
    _ready("redirect", "?", "302", error="redirect"),
)

_KIMI = (
    _ready("rate_limit", "W", "429 of RPM with the three headers", error="rate_limit_rpm"),
    _ready(
        "rate_limit_for_20_s",
        "W",
        "the same for 20 s, though it asks for 1",
        error="rate_limit_rpm",
        lasts_s=20,
    ),
    _ready("rate_limit_absurd", "I", "429 that asks for a day", error="rate_limit_absurd"),
    _ready("rate_limit_date", "?", "429 with a date to wait for", error="rate_limit_http_date"),
    _ready("rate_limit_bare", "?", "429 without a header", error="rate_limit_no_header"),
    _ready("overload", "W", "429 `engine_overloaded_error`, no header", error="overloaded"),
    _ready("slow_overload", "W", "the same after 10 s", error="overloaded", before_headers_ms=_SLOW_MS),
    _ready("quota", "DW", "`exceeded_current_quota_error`", error="quota"),
    _ready("daily_tokens", "DI", "429 of TPD", error="rate_limit_tpd"),
    _ready("server_error", "D", "500 `server_error`", error="server_error"),
    _ready("unavailable", "D", "503 `server_unavailable`", error="server_unavailable"),
    _ready("gateway", "D", "504 as an HTML page", error="gateway_timeout"),
    _ready("error_in_stream", "?", "an `error` frame, then the end", frame="error", after_frames=3),
    _ready("cap_spent", "W", "empty content, finish `length`", content="empty", finish_reason="length"),
    _ready("error_as_text", "L", "`error` is a text", error="error_string"),
    _ready("error_with_code", "?", "an error with a `code`", error="error_with_code"),
    _ready("redirect", "?", "302", error="redirect"),
)

_UPLOADS = (
    _ready(
        "upload_cut",
        "?",
        "RST after 64 kB of an upload",
        path="/files",
        cut="reset",
        at="while_receiving",
        after_bytes=65_536,
    ),
    _ready(
        "upload_closed",
        "?",
        "FIN after 64 kB of an upload",
        path="/files",
        cut="close",
        at="while_receiving",
        after_bytes=65_536,
    ),
    _ready(
        "upload_stall",
        "?",
        "an upload is not read on after 64 kB",
        path="/files",
        cut="stall",
        at="while_receiving",
        after_bytes=65_536,
    ),
    _ready(
        "upload_slow",
        "?",
        "a piece of an upload is read each second",
        path="/files",
        cut="trickle",
        at="while_receiving",
    ),
    _ready(
        "upload_refused_early",
        "?",
        "413 while an upload is still sent",
        path="/files",
        status=413,
        at="while_receiving",
        after_bytes=65_536,
    ),
    _ready(
        "upload_answer_lost",
        "I",
        "RST instead of the answer to an upload that was kept",
        path="/files",
        cut="reset",
        at="before_headers",
    ),
    _ready(
        "upload_kept_502",
        "I",
        "a gateway's 502 for an upload that was kept",
        path="/files",
        error="empty_502",
        takes_effect=True,
    ),
)

_CUSTOM = (
    _ready("rate_limit", "D", "429", error="rate_limit"),
    _ready("quota", "D", "the quota error", error="quota"),
    _ready("server_error", "D", "500", error="server_error"),
    _ready("overload", "D", "503", error="overloaded"),
    _ready("error_in_stream", "?", "an `error` frame, then the end", frame="error", after_frames=3),
    _ready("think_tags", "I", "thinking in the content, between tags", think_tags="both"),
    _ready("closing_think_tag", "I", "thinking in the content, before a tag", think_tags="closing"),
    _ready("finish_error", "D", "the finish reason `error`", finish_reason="error"),
)

READY_FAULTS: Mapping[str, Mapping[str, ReadyFault]] = {
    provider: {ready.name: ready for ready in (*own, *_EVERYWHERE)}
    for provider, own in (("glm", (*_GLM, *_UPLOADS)), ("kimi", (*_KIMI, *_UPLOADS)), ("custom", _CUSTOM))
}
"""By provider and name."""


def ready_fault(provider: str, name: str | None) -> Fault:
    """The fault of that name. Raises ValueError when the provider has none."""
    if provider not in READY_FAULTS:
        raise ValueError(f"There is no provider {provider!r}; there are {', '.join(READY_FAULTS)}.")
    ready = READY_FAULTS[provider].get(name or "")
    if ready is None:
        raise ValueError(
            f"{provider} has no ready-made fault {name!r}; it has {', '.join(READY_FAULTS[provider])}."
        )
    return ready.fault
