"""The error tables of the custom service: one per dialect, with the same names in each."""

from collections.abc import Iterable, Mapping

from exai_emulator.calls import ErrorRow

__all__ = ["TABLES"]

_PLAIN = (
    ErrorRow("empty_502", 502, "?", body=""),
    ErrorRow("html_200", 200, "?", body="<html><body>Welcome</body></html>", content_type="text/html"),
    ErrorRow("empty_200", 200, "?", body="", content_type="application/json"),
)
"""What no dialect spells: a gateway's own answers."""

_BAD = "invalid_request_error"
_COMPATIBLE = (
    ErrorRow("invalid_request", 400, "D", "Invalid request", _BAD),
    ErrorRow("unsupported", 400, "?", "Unsupported parameter.", _BAD, code="unsupported_parameter"),
    ErrorRow("missing_key", 401, "D", "You didn't provide an API key.", _BAD, code="invalid_api_key"),
    ErrorRow("invalid_key", 401, "D", "Incorrect API key provided.", _BAD, code="invalid_api_key"),
    ErrorRow("model_not_found", 404, "D", "The model does not exist", _BAD, code="model_not_found"),
    ErrorRow("not_found", 404, "D", "Invalid URL", _BAD),
    ErrorRow("too_large", 413, "D", "The request is too large.", _BAD),
    ErrorRow(
        "context",
        400,
        "D",
        "This model's maximum context length is exceeded. Please reduce the length of the messages.",
        _BAD,
        code="context_length_exceeded",
    ),
    ErrorRow("content_filter", 400, "D", "The response was filtered.", _BAD, code="content_filter"),
    ErrorRow(
        "rate_limit",
        429,
        "D",
        "Rate limit reached, please try again in 1s.",
        "requests",
        code="rate_limit_exceeded",
        headers={"Retry-After": "1"},
    ),
    ErrorRow(
        "quota",
        429,
        "D",
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        code="insufficient_quota",
    ),
    ErrorRow(
        "server_error", 500, "D", "The server had an error while processing your request.", "server_error"
    ),
    ErrorRow("overloaded", 503, "D", "The engine is currently overloaded.", "server_error"),
)

_AZURE = (
    ErrorRow("invalid_key", 401, "?", "Access denied due to invalid subscription key.", code="401"),
    ErrorRow("missing_key", 401, "?", "Access denied due to missing subscription key.", code="401"),
    ErrorRow("not_found", 404, "?", "Resource not found", code="404"),
    ErrorRow(
        "model_not_found",
        404,
        "?",
        "The API deployment for this resource does not exist.",
        code="DeploymentNotFound",
    ),
    ErrorRow(
        "rate_limit",
        429,
        "?",
        "Requests have exceeded the call rate limit of your current pricing tier.",
        code="429",
        headers={"Retry-After": "7"},
    ),
)

_OPENROUTER = (
    ErrorRow("invalid_request", 400, "D", "Invalid request"),
    ErrorRow("unsupported", 400, "D", "Unsupported parameter."),
    ErrorRow("missing_key", 401, "D", "No auth credentials found"),
    ErrorRow("invalid_key", 401, "D", "No auth credentials found"),
    ErrorRow("quota", 402, "D", "Insufficient credits"),
    ErrorRow("content_filter", 403, "D", "The chosen model requires moderation and your input was flagged"),
    ErrorRow("model_not_found", 404, "?", "No endpoints found for the model."),
    ErrorRow("not_found", 404, "?", "Not Found"),
    ErrorRow("too_large", 413, "?", "The request is too large."),
    ErrorRow("context", 400, "?", "This endpoint's maximum context length is exceeded."),
    ErrorRow("rate_limit", 429, "D", "Rate limit exceeded"),
    ErrorRow("server_error", 502, "D", "The chosen model is down or gave an invalid response"),
    ErrorRow("overloaded", 503, "D", "There is no available model provider that meets the requirements"),
    ErrorRow("quota_200", 200, "D", "Insufficient credits", code="402"),
    ErrorRow("rate_limit_200", 200, "D", "Rate limit exceeded", code="429"),
    ErrorRow("server_error_200", 200, "D", "Provider returned error", code="502"),
)

_DEEPSEEK = (
    ErrorRow("quota", 402, "D", "Insufficient Balance", "unknown_error", code="invalid_request_error"),
    ErrorRow("unsupported", 422, "D", "Invalid parameter.", _BAD, code=_BAD),
    ErrorRow("rate_limit", 429, "D", "Rate limit reached", "rate_limit_error", code="rate_limit_reached"),
    ErrorRow(
        "invalid_key", 401, "D", "Authentication Fails", "authentication_error", code="invalid_request_error"
    ),
    ErrorRow("context", 400, "?", "This model's maximum context length is exceeded.", _BAD, code=_BAD),
    ErrorRow("content_filter", 400, "?", "Content Exists Risk", _BAD, code="content_filter"),
    ErrorRow("model_not_found", 400, "?", "Model Not Exist", _BAD, code="model_not_found"),
)

_MINIMAX = (
    ErrorRow("invalid_request", 200, "?", "invalid params", "2013"),
    ErrorRow("unsupported", 200, "?", "invalid params", "2013"),
    ErrorRow("missing_key", 200, "?", "login fail: Please carry the API key", "1004"),
    ErrorRow("invalid_key", 200, "?", "login fail: invalid api key", "1004"),
    ErrorRow("quota", 200, "I", "insufficient balance", "1008"),
    ErrorRow("plan", 200, "?", "usage limit exceeded", "2056"),
    ErrorRow("rate_limit", 200, "?", "rate limit exceeded (RPM)", "1002"),
    ErrorRow("context", 200, "?", "invalid params, context window exceeds limit", "2013"),
    ErrorRow("content_filter", 200, "?", "input new_sensitive", "1026"),
    ErrorRow("server_error", 200, "?", "unknown error", "1000"),
    ErrorRow(
        "quota_429",
        429,
        "I",
        body='{"error":{"http_code":"429","message":"insufficient balance (1008)",'
        '"type":"insufficient_balance_error"}}',
        content_type="application/json",
    ),
)

_SENTENCE = "Client specified an invalid argument"
_XAI = (
    ErrorRow("invalid_request", 400, "?", "Invalid request content.", _SENTENCE),
    ErrorRow("unsupported", 400, "?", "Argument not supported by the model.", _SENTENCE),
    ErrorRow("missing_key", 401, "?", "No authorization header was sent.", "Unauthenticated"),
    ErrorRow(
        "invalid_key",
        400,
        "I",
        "Incorrect API key provided. You can obtain an API key from https://console.x.ai.",
        _SENTENCE,
    ),
    ErrorRow("model_not_found", 404, "?", "The model does not exist.", "Some requested entity was not found"),
    ErrorRow("context", 400, "?", "This model's maximum prompt length is exceeded.", _SENTENCE),
    ErrorRow("rate_limit", 429, "?", "Too many requests.", "Some resource has been exhausted"),
)

_INVALID = "INVALID_ARGUMENT"
_GEMINI = (
    ErrorRow("invalid_request", 400, "I", "Request contains an invalid argument.", _INVALID),
    ErrorRow("unsupported", 400, "I", "Invalid JSON payload received.", _INVALID),
    ErrorRow("missing_key", 400, "?", "Missing or invalid Authorization header.", _INVALID),
    ErrorRow("invalid_key", 400, "I", "API key not valid. Please pass a valid API key.", _INVALID),
    ErrorRow("model_not_found", 404, "?", "The model is not found for this API version.", "NOT_FOUND"),
    ErrorRow(
        "context", 400, "?", "The input token count exceeds the maximum number of tokens allowed.", _INVALID
    ),
    ErrorRow("rate_limit", 429, "?", "You exceeded your current rate limit.", "RESOURCE_EXHAUSTED"),
    ErrorRow("server_error", 500, "?", "An internal error has occurred.", "INTERNAL"),
    ErrorRow("overloaded", 503, "?", "The model is overloaded. Please try again later.", "UNAVAILABLE"),
)

_OLLAMA = (
    ErrorRow("model_not_found", 404, "?", "model not found, try pulling it first", "not_found_error"),
    ErrorRow("server_error", 500, "?", "llama runner process has terminated", "api_error"),
)

_VLLM = (
    ErrorRow("invalid_request", 400, "?", "Bad request.", "BadRequestError"),
    ErrorRow("model_not_found", 404, "?", "The model does not exist.", "NotFoundError"),
    ErrorRow("context", 400, "?", "This model's maximum context length is exceeded.", "BadRequestError"),
    ErrorRow("server_error", 500, "?", "Internal server error", "InternalServerError"),
)


def _table(*layers: Iterable[ErrorRow]) -> Mapping[str, ErrorRow]:
    """Rows by name; a later layer's row takes the place of an earlier one's."""
    return {row.name: row for layer in layers for row in layer}


TABLES: Mapping[str, Mapping[str, ErrorRow]] = {
    "compatible": _table(_COMPATIBLE, _PLAIN),
    "openai": _table(_COMPATIBLE, _PLAIN),
    "azure": _table(_COMPATIBLE, _AZURE, _PLAIN),
    "openrouter": _table(_COMPATIBLE, _OPENROUTER, _PLAIN),
    "deepseek": _table(_COMPATIBLE, _DEEPSEEK, _PLAIN),
    "minimax": _table(_COMPATIBLE, _MINIMAX, _PLAIN),
    "xai": _table(_COMPATIBLE, _XAI, _PLAIN),
    "gemini": _table(_COMPATIBLE, _GEMINI, _PLAIN),
    "ollama": _table(_COMPATIBLE, _OLLAMA, _PLAIN),
    "vllm": _table(_COMPATIBLE, _VLLM, _PLAIN),
}
"""By dialect."""
