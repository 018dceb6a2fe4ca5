"""GLM's error table. The envelope is `{"error":{"code":"NNNN","message":"…"}}`; the code is a string."""

from exai_emulator.calls import ErrorRow

__all__ = ["ERRORS", "RESET"]

RESET = "{reset}"
"""Stands in a message for a time to come."""


def _coded(status: int, marks: str, messages: dict[str, str]) -> list[ErrorRow]:
    return [ErrorRow(code, status, marks, message, code) for code, message in messages.items()]


_ROWS = [
    *_coded(
        401,
        "DL",
        {
            "1000": "Authentication Failed",
            "1001": "Authentication parameter not received in Header, unable to authenticate",
            "1002": "Authentication Token is invalid, please confirm that it is passed correctly",
            "1003": "Authentication Token has expired, please regenerate/obtain",
            "1004": "Authentication with the provided Authentication Token failed",
            "1005": "Authentication failed, please check the Authentication Token",
            "1110": "Your account is currently inactive. Please check your account information",
            "1111": "Your account does not exist",
            "1112": "Your account has been locked. Please contact customer service to unlock",
            "1120": "Unable to access your account at the moment. Please try again later",
            "1121": "Your account has been locked for irregular activities",
        },
    ),
    *_coded(
        400,
        "DL",
        {
            "1210": "Invalid API parameter, please check the documentation.",
            "1211": "Unknown Model, please check the model code.",
            "1212": "The current model does not support the called method.",
            "1213": "A required parameter was not received.",
            "1214": "A parameter is invalid. Please check the documentation.",
            "1215": "Two parameters cannot be set at the same time. Please check the documentation.",
            "1221": "This API has been taken offline.",
            "1222": "This API does not exist.",
            "1231": "A request with this request_id was received already.",
            "1261": "Prompt exceeds max length",
            "1301": "System detected potentially unsafe or sensitive content in input or generation.",
        },
    ),
    *_coded(403, "D", {"1220": "You do not have permission to access this API."}),
    *_coded(
        429,
        "DI",
        {
            "1113": "Insufficient balance or no resource package. Please recharge.",
            "1302": "Rate limit reached for requests",
            "1303": "The call frequency of this API is too high. Please reduce it.",
            "1304": "The daily call limit of this API has been reached.",
            "1308": f"Usage limit reached for 5 hour. Your limit will reset at {RESET}",
            "1309": "Your GLM Coding Plan package has expired and is temporarily unavailable.",
            "1310": f"Weekly/Monthly limit exhausted. Your limit will reset at {RESET}",
            "1311": "Your current subscription plan does not include access to this model.",
            "1312": "This model currently has too many visits. Please try again later.",
            "1313": "Your account's usage does not comply with the fair use policy.",
            **{str(code): f"Plan usage window {code} exhausted." for code in range(1314, 1322)},
        },
    ),
    *_coded(429, "W", {"1305": "The service may be temporarily overloaded, please try again later"}),
    *_coded(
        500,
        "D",
        {
            "500": "Internal error",
            "-1": "Internal error",
            "1200": "API call failed",
            "1230": "API call process error",
            "1234": "Network error, error id: 20261122183000emulated, please contact customer service",
        },
    ),
    *_coded(429, "?", {"1701": "Web search concurrency has reached its limit. Please try again later."}),
    *_coded(
        500,
        "?",
        {
            "1702": "No search engine is available. Please check the configuration.",
            "1703": "The search engine returned no valid data. Please adjust the query.",
        },
    ),
    *_coded(434, "D", {"434": "You do not have permission to use this API."}),
    *_coded(435, "D", {"435": "The file is larger than 100 MB."}),
    ErrorRow("empty_502", 502, "I", body=""),
    ErrorRow("empty_503", 503, "I", body=""),
    ErrorRow("html_200", 200, "?", body="<html><body>Welcome</body></html>", content_type="text/html"),
    ErrorRow("empty_200", 200, "?", body="", content_type="application/json; charset=UTF-8"),
    ErrorRow(
        "envelope_drift",
        200,
        "S",
        body='{"success":false,"code":1302,"msg":"Rate limit reached for requests"}',
        content_type="application/json; charset=UTF-8",
    ),
    ErrorRow("redirect", 302, "?", body="", headers={"Location": "/elsewhere"}),
    ErrorRow("route_404", 404, "?", "Not Found", "404"),
]

ERRORS: dict[str, ErrorRow] = {row.name: row for row in _ROWS}
