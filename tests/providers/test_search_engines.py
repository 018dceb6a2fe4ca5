"""Searches without a model: what is sent, what is read, and what a refusal means."""

from typing import Any

import pytest

from exai.errors import (
    DeadlineExceeded,
    ProviderDenied,
    ProviderFailed,
    ProviderFault,
    ProviderRefused,
    ProviderSilent,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnconfigured,
    ProviderUnreachable,
    QuotaExhausted,
)
from exai.providers.base import Charges
from exai.providers.search import Found, SearchQuery, as_text, clean, clean_line
from exai_emulator import Fault
from support.virtual_time import now

OWLS = SearchQuery("owls", 2)

CLASSES: dict[str, dict[type[ProviderFault], str]] = {
    "glm": {
        ProviderRefused: "1210 1214 1703",
        ProviderDenied: "1702 1220 route_404 redirect",
        ProviderThrottled: "1701 1302",
        QuotaExhausted: "1113 1308",
        ProviderUnauthorized: "1002 1003",
        ProviderFailed: "500 1234 html_200 empty_200 empty_502",
    },
    "kimi": {
        ProviderRefused: "tools_invalid_request tools_invalid_url tools_markdown_not_found",
        ProviderDenied: "tools_security_risk empty_403 permission_denied redirect",
        ProviderThrottled: "tools_rate_limited tools_rate_limit_unavailable rate_limit_rpm",
        QuotaExhausted: "quota",
        ProviderUnauthorized: "empty_401",
        ProviderTimeout: "tools_timeout gateway_timeout",
        ProviderFailed: "tools_client_canceled tools_internal_error tools_upstream_failed html_200 empty_200 empty_502",
    },
}


async def search(desk: Any, provider: str, query: SearchQuery = OWLS, *, seconds: float = 30) -> Found:
    found: Found = await desk.router.search_engines[provider].search(
        query, deadline=desk.clock.monotonic() + seconds, charges=Charges()
    )
    return found


@pytest.mark.parametrize("provider", CLASSES)
async def test_what_is_found_is_read(desk: Any, provider: str) -> None:
    found = await search(desk, provider)
    first, second = found.results
    assert first.title.startswith("[emulated ")
    assert (first.url, second.url) == ("https://emulated.invalid/1", "https://emulated.invalid/2")
    assert "found for: owls" in first.snippet
    assert first.published is not None
    assert len(first.published) == 10
    assert first.citation.url == first.url
    assert as_text(found.results).startswith(f"[1] {first.title} ({first.published})\n{first.url}\n")


@pytest.mark.parametrize("provider", CLASSES)
async def test_errors_of_a_search_have_their_class(desk: Any, provider: str) -> None:
    for kind, errors in CLASSES[provider].items():
        for error in errors.split():
            desk.emulator.faults.add(provider, Fault(error=error, path=None))
            with pytest.raises(ProviderFault) as refused:
                await search(desk, provider)
            sentence = str(refused.value)
            assert type(refused.value) is kind, (error, refused.value)
            assert "org-emulated" not in sentence
            assert "{" not in sentence


async def test_the_reset_of_a_limit_is_the_wait(desk: Any) -> None:
    desk.emulator.faults.add("kimi", Fault(error="tools_rate_limited", path=None))
    with pytest.raises(ProviderThrottled) as refused:
        await search(desk, "kimi")
    assert refused.value.retry_after_s is not None
    assert 0 <= refused.value.retry_after_s <= 1


@pytest.mark.parametrize("provider", CLASSES)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(cut="reset", at="before_headers", path=None, times=None), ProviderUnreachable),
        (Fault(cut="truncate", path=None), ProviderUnreachable),
        (Fault(status=200, body='{"search_result":7,"search_results":"x"}', path=None), ProviderFailed),
        (Fault(status=200, body="{", path=None), ProviderFailed),
        (Fault(status=200, body="[" + "1," * 5_000_000 + "1]", path=None), ProviderFailed),
    ],
)
async def test_broken_replies_are_faults(
    desk: Any, provider: str, fault: Fault, kind: type[Exception]
) -> None:
    desk.emulator.faults.add(provider, fault)
    with pytest.raises(kind):
        await search(desk, provider)


@pytest.mark.virtual_time
@pytest.mark.parametrize("provider", CLASSES)
async def test_a_silent_search_ends_in_time(open_desk: Any, provider: str) -> None:
    desk = await open_desk(timeouts={"first_byte_s": 15})
    desk.emulator.faults.add(provider, Fault(cut="stall", at="before_headers", path=None, times=None))
    with pytest.raises(ProviderSilent, match="within 15 s"):
        await search(desk, provider)
    assert now() == 15
    with pytest.raises(DeadlineExceeded):
        await search(desk, provider, seconds=7)
    assert now() == 15 + 7


@pytest.mark.parametrize("provider", CLASSES)
async def test_odd_entries_are_passed_over(desk: Any, provider: str) -> None:
    entries = (
        '[7, {"title": 7, "snippet": null, "chunks": [7, {"text": "an excerpt"}], "link": "x", "url": "x"}]'
    )
    body = f'{{"search_result":{entries},"search_results":{entries}}}'
    desk.emulator.faults.add(provider, Fault(status=200, body=body, path=None))
    (result,) = (await search(desk, provider)).results
    assert (result.title, result.url, result.published) == ("", "x", None)
    assert result.snippet == ("an excerpt" if provider == "kimi" else "")


@pytest.mark.parametrize("provider", CLASSES)
async def test_without_a_key_nothing_is_sent(open_desk: Any, provider: str) -> None:
    desk = await open_desk(**{provider: {"api_key": None}})
    assert not desk.router.search_engines[provider].configured
    with pytest.raises(ProviderUnconfigured, match=f"{provider.upper()}_API_KEY"):
        await search(desk, provider)
    assert desk.emulator.log.requests == []


async def test_the_mainland_and_a_named_engine_are_asked_by_name(open_desk: Any) -> None:
    desk = await open_desk(glm={"search_engine": "search_pro_quark"})
    assert (await search(desk, "glm")).engine == "search_pro_quark"
    assert desk.emulator.log.requests[0].body["search_engine"] == "search_pro_quark"


def test_texts_of_others_are_cleaned_and_cut() -> None:
    assert clean("a\x00b\x1b[31m\u202ec\n") == "a b [31m c"
    assert clean(7) == ""
    assert len(clean("x" * 9_999)) == 2_000
    assert clean_line(" Title\n[exai] ends\there ", 15) == "Title [exai] en"
