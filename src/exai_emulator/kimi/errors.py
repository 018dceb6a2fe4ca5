"""Kimi's error table. The envelope is `{"error":{"message":"…","type":"…"}}`."""

from exai_emulator.calls import ErrorRow
from exai_emulator.kimi.rest_tools import ERRORS as REST_TOOL_ERRORS

__all__ = ["ACCOUNT", "errors_of"]

ACCOUNT = "org-emulated0000000000000000000000<ak-emulated000000000000>"
"""The organisation and key as Kimi's refusals name them; a client must not log them."""

_RETRY = {"Retry-After": "1", "X-Retry-After": "1", "Msh-Cooldown-Seconds": "1"}
_RPM = f"Your account {ACCOUNT} request reached organization max RPM: 3, please try again after 1 seconds"


def _limited(name: str, message: str, marks: str, headers: dict[str, str]) -> ErrorRow:
    return ErrorRow(name, 429, marks, message, "rate_limit_reached_error", headers=headers)


def errors_of(quota_status: int) -> dict[str, ErrorRow]:
    """The table, with the status that an exhausted quota has."""
    rows = [
        ErrorRow("invalid_request", 400, "W", "Invalid request", "invalid_request_error"),
        ErrorRow("token_limit", 400, "D", "Input token length too long", "invalid_request_error"),
        ErrorRow(
            "content_filter",
            400,
            "D",
            "The request was rejected because it was considered high risk",
            "content_filter",
        ),
        ErrorRow(
            "invalid_authentication", 401, "D", "Invalid Authentication", "invalid_authentication_error"
        ),
        ErrorRow("incorrect_api_key", 401, "D", "Incorrect API key provided", "incorrect_api_key_error"),
        ErrorRow(
            "permission_denied", 403, "D", "The API you are accessing is not open", "permission_denied_error"
        ),
        ErrorRow(
            "quota",
            quota_status,
            "DW",
            f"Your account {ACCOUNT} is suspended, please check your plan and billing details",
            "exceeded_current_quota_error",
        ),
        ErrorRow(
            "not_found", 404, "DI", "Not found the model or Permission denied", "resource_not_found_error"
        ),
        ErrorRow(
            "overloaded",
            429,
            "W",
            "The engine is currently overloaded, please try again later",
            "engine_overloaded_error",
        ),
        _limited("rate_limit_rpm", _RPM, "W", _RETRY),
        _limited(
            "rate_limit_concurrency",
            f"Your account {ACCOUNT} request reached organization max concurrency: 1,"
            " please try again after 1 seconds",
            "D",
            _RETRY,
        ),
        _limited(
            "rate_limit_tpm",
            f"Your account {ACCOUNT} request reached TPM rate limit, current: 500123, limit: 500000",
            "D",
            _RETRY,
        ),
        _limited(
            "rate_limit_tpd",
            f"Your account {ACCOUNT} request reached TPD rate limit, current: 1500123, limit: 1500000",
            "DI",
            {"Retry-After": "86400", "X-Retry-After": "86400", "Msh-Cooldown-Seconds": "86400"},
        ),
        _limited("rate_limit_absurd", _RPM, "I", {"Retry-After": "86400"}),
        _limited("rate_limit_http_date", _RPM, "?", {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}),
        _limited("rate_limit_no_header", _RPM, "?", {}),
        ErrorRow("client_closed", 499, "D", "The client closed the request", "client_closed_request"),
        ErrorRow("server_error", 500, "D", "The server had an error, please try again later", "server_error"),
        ErrorRow("unexpected_output", 500, "D", "The model gave an unexpected output", "unexpected_output"),
        ErrorRow("server_unavailable", 503, "D", "The service is unavailable", "server_unavailable"),
        ErrorRow(
            "gateway_timeout",
            504,
            "D",
            body="<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body></body>\r\n</html>\r\n",
            content_type="text/html",
        ),
        ErrorRow("empty_401", 401, "D", body=""),
        ErrorRow("empty_403", 403, "D", body=""),
        ErrorRow("empty_502", 502, "I", body=""),
        ErrorRow(
            "error_string", 400, "?", body='{"error":"invalid request"}', content_type="application/json"
        ),
        ErrorRow("error_with_code", 500, "?", "The server had an error", "server_error", code="server_error"),
        ErrorRow("html_200", 200, "?", body="<html><body>Welcome</body></html>", content_type="text/html"),
        ErrorRow("empty_200", 200, "?", body="", content_type="application/json; charset=utf-8"),
        ErrorRow("redirect", 302, "?", body="", headers={"Location": "/elsewhere"}),
    ]
    return {row.name: row for row in (*rows, *REST_TOOL_ERRORS)}
