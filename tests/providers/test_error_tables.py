"""Every error of the providers is classified, in a sentence of ours that leaks nothing."""

import json
import re

import pytest

from exai.errors import (
    ContentFiltered,
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderFault,
    ProviderOverloaded,
    ProviderRefused,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnauthorized,
    QuotaExhausted,
)
from exai.providers import dialects, glm, kimi
from exai.providers.faults import Names, Refusal, Row, fault_of

NAMES = Names("The Provider", "some-model", "SOME_KEY", "providers.some.base_url")
NOW = 1_790_000_000.0
SECRETS = "org-5f3a<ak-77> prompt-text sk-secret"


def classify(
    table: tuple[Row, ...], status: int, body: bytes, headers: dict[str, str] | None = None
) -> ProviderFault:
    fault = fault_of(Refusal.read(status, headers or {}, body, NOW), table, NAMES)
    sentence = str(fault)
    assert re.fullmatch(r"[A-Z].*\.", sentence)
    assert "{" not in sentence
    for secret in SECRETS.split():
        assert secret not in sentence
    return fault


def glm_body(code: int | str, text: str = SECRETS) -> bytes:
    return json.dumps({"error": {"code": str(code), "message": text}}).encode()


def kimi_body(kind: str, text: str = SECRETS) -> bytes:
    return json.dumps({"error": {"message": text, "type": kind}}).encode()


GLM = {
    ProviderUnauthorized: (401, [1000, 1001, 1002, 1003, 1004, 1005, 1110, 1111, 1112, 1120, 1121]),
    ProviderRefused: (400, [1210, 1212, 1213, 1214, 1215, 1231, 1702, 1703]),
    ProviderDenied: (400, [1211, 1220, 1221, 1222, 434]),
    ContextOverflow: (400, [1261, 435]),
    ContentFiltered: (400, [1301]),
    ProviderThrottled: (429, [1302, 1303, 1701]),
    ProviderOverloaded: (429, [1305, 1312]),
    QuotaExhausted: (
        429,
        [1113, 1304, 1308, 1309, 1310, 1311, 1313, 1314, 1315, 1316, 1317, 1318, 1319, 1320, 1321],
    ),
    ProviderFailed: (500, [500, -1, 1200, 1230, 1234]),
}


@pytest.mark.parametrize(
    ("expected", "status", "code"),
    [(fault, status, code) for fault, (status, codes) in GLM.items() for code in codes],
)
def test_glm_is_classified_by_its_code(expected: type[ProviderFault], status: int, code: int) -> None:
    fault = classify(glm.ERRORS, status, glm_body(code))
    assert type(fault) is expected
    assert str(code) in str(fault)


@pytest.mark.parametrize(
    ("expected", "status", "kind", "text"),
    [
        (ProviderUnauthorized, 401, "invalid_authentication_error", "Invalid Authentication"),
        (ProviderUnauthorized, 401, "incorrect_api_key_error", "Incorrect API key provided"),
        (ProviderDenied, 403, "permission_denied_error", "The API you are accessing is not open"),
        (QuotaExhausted, 429, "exceeded_current_quota_error", f"Your account {SECRETS} is suspended"),
        (QuotaExhausted, 403, "exceeded_current_quota_error", f"{SECRETS} is not active"),
        (ProviderDenied, 404, "resource_not_found_error", "Not found the model X or Permission denied"),
        (ProviderOverloaded, 429, "engine_overloaded_error", "The engine is currently overloaded"),
        (
            ProviderThrottled,
            429,
            "rate_limit_reached_error",
            f"{SECRETS} request reached organization max RPM: 3",
        ),
        (
            ProviderThrottled,
            429,
            "rate_limit_reached_error",
            f"{SECRETS} TPM rate limit, current: 1, limit: 2",
        ),
        (ProviderThrottled, 429, "rate_limit_reached_error", f"{SECRETS} max concurrency: 1"),
        (QuotaExhausted, 429, "rate_limit_reached_error", f"{SECRETS} TPD rate limit, current: 1, limit: 2"),
        (
            ContentFiltered,
            400,
            "content_filter",
            "The request was rejected because it was considered high risk",
        ),
        (
            ProviderRefused,
            400,
            "invalid_request_error",
            "invalid temperature: only 1 is allowed for this model",
        ),
        (ContextOverflow, 400, "invalid_request_error", "Input token length too long"),
        (
            ContextOverflow,
            400,
            "invalid_request_error",
            "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)",
        ),
        (ProviderFailed, 499, "client_closed_request", "client went away"),
        (ProviderFailed, 500, "server_error", "x"),
        (ProviderFailed, 500, "unexpected_output", "x"),
        (ProviderOverloaded, 503, "server_unavailable", "x"),
    ],
)
def test_kimi_is_classified_by_its_type(
    expected: type[ProviderFault], status: int, kind: str, text: str
) -> None:
    assert type(classify(kimi.ERRORS, status, kimi_body(kind, text))) is expected


def test_kimi_unknown_route_has_an_error_that_is_a_string() -> None:
    body = b'{"code":5,"error":"url.not_found","message":"no","method":"POST","scode":"0x5","status":false}'
    assert type(classify(kimi.ERRORS, 404, body)) is ProviderDenied


@pytest.mark.parametrize(
    ("expected", "status", "error"),
    [
        (
            ProviderUnauthorized,
            401,
            {"code": "invalid_api_key", "type": "invalid_request_error", "message": SECRETS},
        ),
        (QuotaExhausted, 429, {"code": "insufficient_quota", "type": "insufficient_quota"}),
        (ProviderThrottled, 429, {"code": "rate_limit_exceeded", "type": "requests"}),
        (ProviderDenied, 404, {"code": "model_not_found"}),
        (ContextOverflow, 400, {"code": "context_length_exceeded"}),
        (ContextOverflow, 400, {"code": 400, "message": "the request exceeds the available context size"}),
        (ProviderRefused, 400, {"type": "invalid_request_error", "message": SECRETS}),
        (ContentFiltered, 400, {"code": "content_filter"}),
        # Routers report upstream's status as a code inside a 200.
        (ProviderThrottled, 200, {"code": 429, "message": SECRETS}),
        (ProviderFailed, 200, {"code": 502, "message": SECRETS}),
        (ProviderFailed, 200, {"message": SECRETS}),
    ],
)
def test_compatible_endpoints_are_classified_by_openai_codes(
    expected: type[ProviderFault], status: int, error: dict[str, object]
) -> None:
    assert type(classify(dialects.ERRORS, status, json.dumps({"error": error}).encode())) is expected
    assert type(classify(dialects.ERRORS, status, json.dumps([{"error": error}]).encode())) is expected


@pytest.mark.parametrize("table", [glm.ERRORS, kimi.ERRORS, dialects.ERRORS], ids=["glm", "kimi", "custom"])
@pytest.mark.parametrize(
    ("expected", "status"),
    [
        (ProviderRefused, 400), (ProviderUnauthorized, 401), (QuotaExhausted, 402), (ProviderDenied, 403),
        (ProviderDenied, 404), (ProviderTimeout, 408), (ContextOverflow, 413), (ProviderRefused, 418),
        (ProviderThrottled, 429), (ProviderFailed, 500), (ProviderFailed, 502), (ProviderOverloaded, 503),
        (ProviderTimeout, 504), (ProviderOverloaded, 529), (ProviderDenied, 302), (ProviderFailed, 200),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "body", [b"", b"<html>gateway</html>", b"[]", b"null", b'{"error":null}', b'{"error":"no way"}']
)
def test_bodies_without_a_known_code_are_classified_by_status(
    table: tuple[Row, ...], expected: type[ProviderFault], status: int, body: bytes
) -> None:
    assert type(classify(table, status, body)) is expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"X-Retry-After": "3"}, 3.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "Mon, 21 Sep 2026 14:14:20 GMT"}, 60.0),
        ({"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, None),
        ({"Retry-After": "99999999999"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_the_providers_wait_is_honoured_where_it_makes_sense(
    headers: dict[str, str], seconds: float | None
) -> None:
    throttled = classify(kimi.ERRORS, 429, kimi_body("rate_limit_reached_error", "max RPM: 3"), headers)
    assert throttled.retry_after_s == seconds
    assert ("asks to wait" in str(throttled)) == (seconds is not None)
    refused = classify(kimi.ERRORS, 400, kimi_body("invalid_request_error"), headers)
    assert refused.retry_after_s is None


def test_the_reset_time_of_a_plan_is_read_as_utc_plus_8() -> None:
    # NOW is 2026-09-21 22:13:20 in UTC+8.
    text = "Usage limit reached for 5 hour. Your limit will reset at 2026-09-21 23:13:20"
    fault = classify(glm.ERRORS, 429, glm_body(1308, text))
    assert type(fault) is QuotaExhausted
    assert fault.retry_after_s == pytest.approx(3600, abs=1)
    assert "60 min" in str(fault)


def test_a_code_that_is_no_code_is_not_shown() -> None:
    fault = classify(
        dialects.ERRORS, 400, json.dumps({"error": {"code": SECRETS, "message": SECRETS}}).encode()
    )
    assert "HTTP 400" in str(fault)
