"""Where Kimi refuses the schema of an answer, or of a function's arguments: its own subset of JSON Schema."""

from collections.abc import Callable

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.objects.moonshot import Trouble, TroubleKind, troubles_of
from exai_emulator.objects.schemas import asked_schema
from exai_emulator.rules import Rule
from exai_emulator.shapes import function_tools

__all__ = ["SCHEMA_RULES"]


def _refused(field: str, trouble: Trouble) -> Refusal:
    return Refusal(
        "invalid_request",
        f"Invalid request: {field} is not a valid moonshot flavored json schema, details: {trouble}",
    )


def _name(call: ChatCall) -> Refusal | None:
    schema = asked_schema(call.body["response_format"])
    name = call.body["response_format"]["json_schema"].get("name") if schema is not None else "-"
    if isinstance(name, str) and name:
        return None
    return Refusal("invalid_request", "Invalid request: response_format.json_schema needs a name")


def _answer(kind: TroubleKind) -> Callable[[ChatCall], Refusal | None]:
    """The check of one kind of trouble in the schema of the answer."""

    def check(call: ChatCall) -> Refusal | None:
        schema = asked_schema(call.body["response_format"])
        for trouble in troubles_of(schema or {}):
            if trouble.kind == kind:
                return _refused("response_format.json_schema", trouble)
        return None

    return check


def _functions(call: ChatCall) -> Refusal | None:
    for function in function_tools(call.body):
        parameters = function.get("parameters")
        for trouble in troubles_of(parameters if isinstance(parameters, dict) else {}):
            return _refused("tools.function.parameters", trouble)
    return None


def _rule(name: str, marks: str, summary: str, kind: TroubleKind) -> Rule:
    return Rule(f"kimi.schema.{name}", marks, f"{summary}: 400", _answer(kind), "response_format")


SCHEMA_RULES: tuple[Rule, ...] = (
    Rule("kimi.schema.name", "D", "an answer's schema without a name: 400", _name, "response_format"),
    _rule("types", "DSI", "an answer's schema with a part that has no type, or several beside more", "type"),
    _rule("beside", "DSI", "more than `description` and `title` beside `anyOf` or `$ref`", "beside"),
    _rule(
        "references",
        "DSI",
        "a `$ref` to elsewhere than `#` and `#/$defs/`, to nothing, or without an end",
        "reference",
    ),
    _rule("keywords", "DS", "a keyword that the subset lacks, or `$defs` below the root", "keyword"),
    _rule("values", "DS", "a keyword whose value is wrong, or that does not go with its type", "value"),
    _rule("size", "DS", "over 100 properties, 5 levels, 10 branches or 500 enumerated values", "size"),
    Rule(
        "kimi.tools.schema",
        "DI",
        "a function's parameters outside the subset: 400; a report of a live test says it is not held to",
        _functions,
        "tools",
        default=False,
    ),
)
