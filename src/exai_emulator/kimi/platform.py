"""Kimi's official tools, signatures, and the parts of its platform that are closed here."""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from exai_emulator.calls import Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook

__all__ = ["BEHAVIOURS", "RULES", "KimiPlatform", "signature_headers"]

NONCE = "X-Msh-Request-Nonce"
_DATED = "2026-09-01-beta"

_TOOLS: Mapping[str, tuple[str, str]] = {
    "web-search": ("web_search", "query"),
    "fetch": ("fetch", "url"),
    "date": ("date", "operation"),
    "convert": ("convert", "value"),
    "base64": ("base64_encode", "text"),
    "rethink": ("rethink", "thought"),
    "random-choice": ("random_choice", "candidates"),
    "mew": ("mew", "mood"),
    "memory": ("memory", "action"),
    "excel": ("read_file", "file_id"),
    "quickjs": ("run_js", "code"),
    "code-runner": ("run_python", "code"),
}
"""Function and first argument of each formula."""


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _name(request: EndpointRequest) -> str:
    return unquote(request.named["name"]).partition(":")[0]


def _formula_known(request: EndpointRequest) -> Refusal | None:
    if request.named["owner"] == "moonshot" and _name(request) in _TOOLS:
        return None
    return Refusal("not_found", f"Not found the formula {request.named['name'][:80]}")


def _fiber_function(request: EndpointRequest) -> Refusal | None:
    body = request.json if isinstance(request.json, dict) else {}
    known = _name(request) in _TOOLS and body.get("name") == _TOOLS[_name(request)][0]
    return None if known else _bad("Invalid request: name is no function of this formula")


def _fiber_arguments(request: EndpointRequest) -> Refusal | None:
    body = request.json if isinstance(request.json, dict) else {}
    return (
        None
        if isinstance(_arguments(body), dict)
        else _bad("Invalid request: arguments is a JSON object in a string")
    )


def _dated(request: EndpointRequest) -> Refusal | None:
    if request.headers.get("kimi-api-version") == _DATED:
        return None
    return _bad(f"Invalid request: header kimi-api-version: {_DATED} is required")


_FORMULA_RULES = (EndpointRule("kimi.formulas.known", "D", "an unknown formula: 404", _formula_known),)
_FIBER_RULES = (
    *_FORMULA_RULES,
    EndpointRule("kimi.formulas.function", "?", "a fiber of another function: 400", _fiber_function),
    EndpointRule(
        "kimi.formulas.arguments", "D", "arguments that are no JSON object in a string: 400", _fiber_arguments
    ),
)
_AGENT_RULES = (
    EndpointRule("kimi.agents.dated", "D", "managed agents without the dated header: 400", _dated),
)
RULES = (*_FIBER_RULES, *_AGENT_RULES)

BEHAVIOURS = (
    Behaviour(
        "kimi.formulas.fiber", "D", "a fiber succeeds with `output`; that of a search is `encrypted_output`"
    ),
    Behaviour(
        "kimi.signatures",
        "D",
        "`X-Msh-Request-Nonce` (a uuid) has the response signed, checkable by `verify`",
    ),
    Behaviour("kimi.agents.closed", "?", "managed agents are not open to the account: 403"),
    Behaviour("kimi.caching.gone", "D", "the withdrawn `/v1/caching`: 404 `url.not_found`"),
)


def signature_headers(headers: Mapping[str, str], at: int) -> Mapping[str, str]:
    """The signature of a response, where the request has a nonce that is a uuid."""
    nonce = headers.get(NONCE, "")
    if len(nonce) != 36 or nonce.count("-") != 4:
        return {}
    return {"Msh-Request-Timestamp": str(at), "Msh-Request-Signature": _signature(nonce, str(at))}


def _signature(nonce: str, timestamp: str) -> str:
    return "reqsigv1_" + hashlib.sha256(f"{nonce}/{timestamp}".encode()).hexdigest()


class KimiPlatform:
    """The endpoints beside chat, files and REST tools."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules
        agents = ("/agents", "/sessions", "/environments")
        self.endpoints: tuple[tuple[str, str, Endpoint], ...] = (
            ("GET", "/formulas/{owner}/{name}/tools", self._tools),
            ("POST", "/formulas/{owner}/{name}/fibers", self._fiber),
            ("POST", "/signatures/verify", _verify),
            *((method, path, self._agents) for path in agents for method in ("GET", "POST")),
        )

    def _tools(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_FORMULA_RULES, request)) is not None:
            return refusal
        function, argument = _TOOLS.get(_name(request), ("unknown", "value"))
        schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
        tool = {
            "type": "function",
            "function": {"name": function, "description": f"[emulated] {function}", "parameters": schema},
        }
        return Reply({"object": "list", "tools": [tool]})

    def _fiber(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_FIBER_RULES, request)) is not None:
            return refusal
        body = request.json if isinstance(request.json, dict) else {}
        context: dict[str, Any] = {"input": body.get("arguments")}
        if _name(request) == "web-search":
            sealed = hashlib.sha256(str(body.get("arguments")).encode("utf-8", "replace")).hexdigest()
            context["encrypted_output"] = (
                f"----MOONSHOT ENCRYPTED BEGIN----{sealed}----MOONSHOT ENCRYPTED END----"
            )
        else:
            context["output"] = f"[emulated {body.get('name')}] {body.get('arguments')}"
        return Reply(
            {
                "id": f"fiber-{request.identity.digest[:20]}",
                "object": "fiber",
                "created_at": request.identity.created,
                "formula": f"{request.named['owner']}/{request.named['name']}",
                "status": "succeeded",
                "context": context,
            }
        )

    def _agents(self, request: EndpointRequest) -> Reply | Refusal:
        return self._rules.first_of(_AGENT_RULES, request) or Refusal("permission_denied")


def _verify(request: EndpointRequest) -> Reply:
    body = request.json if isinstance(request.json, dict) else {}
    nonce, timestamp, signature = (str(body.get(name)) for name in ("nonce", "timestamp", "signature"))
    return Reply({"valid": signature == _signature(nonce, timestamp)})


def _arguments(body: Mapping[str, Any]) -> Any:
    text = body.get("arguments")
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.DecodeError, RecursionError):
        return None
