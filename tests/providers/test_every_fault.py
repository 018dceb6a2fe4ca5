"""Every way in which the emulator knows a service to fail ends in an answer or in one fault of ours, and passes."""

from typing import Any

import msgspec
import pytest

from exai.errors import (
    AnswerBroken,
    AnswerCapSpent,
    AnswerEmpty,
    ContentFiltered,
    ProviderDenied,
    ProviderFailed,
    ProviderFault,
    ProviderOverloaded,
    ProviderRefused,
    ProviderSilent,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnreachable,
    QuotaExhausted,
)
from exai.messages import Effort
from exai_emulator import READY_FAULTS

pytestmark = pytest.mark.virtual_time

MODEL = {"glm": "glm-4.7", "kimi": "kimi-k2.6", "custom": "local/tiny"}
PATIENCE_S = 100_000.0
"""Of a call: what trickles comes at a byte per second."""
ANSWER = "answer"
DAMAGED = "damaged"
"""An answer without the piece that the fault took, which nothing can tell."""

End = type[ProviderFault] | str

EVERYWHERE: dict[str, tuple[End, End]] = {
    "slow_first_token": (ANSWER, ANSWER),
    "slow_headers": (ANSWER, ANSWER),
    "stall": (AnswerBroken, ProviderSilent),
    "stall_then_on": (ANSWER, ANSWER),
    "trickle": (ANSWER, ANSWER),
    # The connection was a kept one, so that the request is sent once more over a new one.
    "reset_before_headers": (ANSWER, ANSWER),
    "reset_after_headers": (ProviderUnreachable, ProviderUnreachable),
    "reset_mid_frame": (AnswerBroken, ProviderUnreachable),
    "early_end": (AnswerBroken, ANSWER),
    "early_fin": (AnswerBroken, ProviderUnreachable),
    "done_missing": (ANSWER, ANSWER),
    "cut_frame": (AnswerBroken, ProviderFailed),
    "other_frame": (AnswerBroken, ProviderFailed),
    "repeated_text": (DAMAGED, ANSWER),
    "wrong_index": (ANSWER, ANSWER),
    "missing_id": (ANSWER, ANSWER),
    "null_delta": (DAMAGED, AnswerEmpty),
    "missing_choices": (DAMAGED, ProviderFailed),
    "empty_choices": (ANSWER, ProviderFailed),
    "unknown_finish": (AnswerBroken, AnswerBroken),
    "short_body": (ANSWER, ProviderUnreachable),
    "cut_gzip": (ProviderFailed, ProviderFailed),
    "bad_chunk": (ProviderUnreachable, ProviderUnreachable),
    "html_200": (ProviderFailed, ProviderFailed),
    "empty_200": (ProviderFailed, ProviderFailed),
    "empty_502": (ProviderFailed, ProviderFailed),
    "no_usage": (ANSWER, ANSWER),
    "null_content": (AnswerEmpty, AnswerEmpty),
    "only_thinking": (AnswerEmpty, AnswerEmpty),
    "wrong_type": (ProviderFailed, ANSWER),
    "keep_alives_after_end": (ANSWER, ANSWER),
    "deep_answer": (ProviderFailed, ProviderFailed),
    "deep_error": (ProviderFailed, ProviderFailed),
    "half_surrogate": (DAMAGED, DAMAGED),
    "split_surrogate": (DAMAGED, DAMAGED),
    "odd_types": (ANSWER, ANSWER),
    "infinite_usage": (ANSWER, ANSWER),
    "long_usage": (ANSWER, ANSWER),
    "endless": (AnswerBroken, ProviderFailed),
    "huge_headers": (ProviderUnreachable, ProviderUnreachable),
}
"""How a streamed and a whole answer end."""


def both(end: End) -> tuple[End, End]:
    return end, end


OWN: dict[str, dict[str, tuple[End, End]]] = {
    "glm": {
        "rate_limit": both(ProviderThrottled),
        "overload": both(ProviderOverloaded),
        "slow_overload": both(ProviderOverloaded),
        "no_balance": both(QuotaExhausted),
        "plan_window": both(QuotaExhausted),
        "fair_use": both(QuotaExhausted),
        "process_error": both(ProviderFailed),
        "network_error": both(ProviderFailed),
        "empty_503": both(ProviderOverloaded),
        "error_in_stream": (AnswerBroken, ProviderFailed),
        "finish_network_error": both(AnswerBroken),
        "finish_sensitive": both(ContentFiltered),
        "finish_window": both(ANSWER),
        "upper_case_model": both(ANSWER),
        "another_model": both(ANSWER),
        "envelope_drift": both(ProviderThrottled),
        "redirect": both(ProviderDenied),
        # What is damaged there is a piece of thinking.
        "repeated_text": both(ANSWER),
        "null_delta": (ANSWER, AnswerEmpty),
        "missing_choices": (ANSWER, ProviderFailed),
    },
    "kimi": {
        "rate_limit": both(ProviderThrottled),
        "rate_limit_for_20_s": both(ProviderThrottled),
        "rate_limit_absurd": both(ProviderThrottled),
        "rate_limit_date": both(ProviderThrottled),
        "rate_limit_bare": both(ProviderThrottled),
        "overload": both(ProviderOverloaded),
        "slow_overload": both(ProviderOverloaded),
        "quota": both(QuotaExhausted),
        "daily_tokens": both(QuotaExhausted),
        "server_error": both(ProviderFailed),
        "unavailable": both(ProviderOverloaded),
        "gateway": both(ProviderTimeout),
        "error_in_stream": (AnswerBroken, ProviderFailed),
        "cap_spent": both(AnswerCapSpent),
        "error_as_text": both(ProviderRefused),
        "error_with_code": both(ProviderFailed),
        "redirect": both(ProviderDenied),
        "repeated_text": both(ANSWER),
        "null_delta": (ANSWER, AnswerEmpty),
        "missing_choices": (ANSWER, ProviderFailed),
    },
    "custom": {
        "rate_limit": both(ProviderThrottled),
        "quota": both(QuotaExhausted),
        "server_error": both(ProviderFailed),
        "overload": both(ProviderOverloaded),
        "error_in_stream": (AnswerBroken, ProviderFailed),
        "finish_error": both(AnswerBroken),
        "think_tags": both(ANSWER),
        "closing_think_tag": both(ANSWER),
        # Its row is lenient.
        "unknown_finish": both(ANSWER),
    },
}


async def ended(desk: Any, provider: str, *, streams: bool) -> End:
    """How a call ended; a fault's sentence is checked for what it must not tell."""
    effort = None if streams else Effort.NONE
    try:
        ask = desk.ask_streaming if streams else desk.ask
        answer = await ask(MODEL[provider], effort=effort, seconds=PATIENCE_S)
    except ProviderFault as fault:
        sentence = str(fault)
        assert sentence.endswith(".")
        assert not any(
            secret in sentence for secret in ("org-emul", "ak-emul", "secret", "sk-emul", "Traceback")
        )
        return type(fault)
    whole = f"[emulated {MODEL[provider].removeprefix('local/')}] hello"
    return ANSWER if answer.text == whole else DAMAGED


@pytest.mark.parametrize("provider", MODEL)
async def test_every_ready_fault_ends_in_an_answer_or_a_fault_of_ours(open_desk: Any, provider: str) -> None:
    desk = await open_desk()
    expected = {**EVERYWHERE, **OWN[provider]}
    # Those of uploads are tried in remote_files/test_upload_faults.py.
    of_chats = {name: each for name, each in READY_FAULTS[provider].items() if each.fault.path != "/files"}
    assert expected.keys() == of_chats.keys()
    found = {}
    for name, ready in of_chats.items():
        ends = []
        once = msgspec.structs.replace(ready.fault, lasts_s=None)
        for streams in (True, False):
            desk.emulator.faults.add(provider, once)
            ends.append(await ended(desk, provider, streams=streams))
            # It is past, and its connection does no harm.
            assert await ended(desk, provider, streams=streams) == ANSWER
        found[name] = tuple(ends)
    assert found == expected
