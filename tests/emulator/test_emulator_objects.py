"""Objects by schema: valid, violating, fenced, in prose, cut, right at the second try; always known as emulated."""

import json
from typing import Any

import jsonschema
import pytest

from exai_emulator import Emulator, Persona
from exai_emulator.objects.making import broken, made, marked
from exai_emulator.objects.schemas import fits, schema_in_prompt
from exai_emulator.personas import Question, answer_of

FINDINGS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "line": {"type": "integer", "minimum": 1},
                    "severity": {"type": "string", "enum": ["high", "low"]},
                    "fix": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
                "required": ["path", "line"],
            },
        },
    },
    "required": ["summary", "findings"],
}
CLOSED = {**FINDINGS, "additionalProperties": False}
NUMBERS = {
    "type": "object",
    "properties": {"score": {"type": "number", "minimum": 2.5}, "ok": {"type": "boolean"}},
    "required": ["score"],
    "additionalProperties": False,
}
RECURSIVE: dict[str, Any] = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 40},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["name", "next"],
        }
    },
}
TYPES = {
    "type": "object",
    "properties": {
        "pair": {"type": "array", "items": {"type": "integer", "maximum": -3}, "minItems": 2},
        "none": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
        "either": {"type": ["null", "string"]},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "nothing": {"type": "null"},
        "fixed": {"const": 7},
        "long": {"type": "string", "minLength": 300},
    },
    "required": ["pair", "none", "either", "map", "nothing", "fixed", "long"],
    "additionalProperties": {"type": "integer"},
}
SCHEMAS = {"findings": FINDINGS, "closed": CLOSED, "numbers": NUMBERS, "recursive": RECURSIVE, "types": TYPES}


def asked(schema: dict[str, Any] | None, persona: Persona, *messages: dict[str, str]) -> tuple[str, str]:
    """The text of an answer, and how it ends."""
    shown = messages or ({"role": "user", "content": "Review this."},)
    question = Question(
        model="m",
        texts=[(each["role"], each["content"]) for each in shown],
        messages=shown,
        thinks=False,
        think_tokens=0,
        cap=100_000,
        json_mode=True,
        schema=schema,
    )
    answer = answer_of(persona, question)
    return answer.content, answer.finish_reason


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_made_object_is_valid_and_a_broken_one_is_not(name: str) -> None:
    schema = SCHEMAS[name]
    judge = jsonschema.Draft202012Validator(schema)
    value = made(schema, "What was said.")
    for instance in (value, marked(value, schema, "m")):
        judge.validate(instance)
        assert fits(instance, schema, schema)
    wrong = broken(value, schema, "m")
    assert not judge.is_valid(wrong)
    assert not fits(wrong, schema, schema)


@pytest.mark.parametrize(
    ("value", "fitting"),
    [
        ({"summary": "s", "findings": []}, True),
        ({"summary": 1, "findings": []}, False),
        ({"summary": "s", "findings": [{"path": "a", "line": 0}]}, False),
        ({"summary": "s", "findings": [{"path": "a", "line": True}]}, False),
        ({"summary": "s", "findings": [{"path": "a", "line": 1, "severity": "medium"}]}, False),
        ({"summary": "s", "findings": [{"path": "a", "line": 1, "fix": 3}]}, False),
        ({"summary": "s", "findings": [], "more": 1}, False),
        ([], False),
    ],
)
def test_a_value_is_judged_as_a_validator_judges_it(value: Any, fitting: bool) -> None:
    assert fits(value, CLOSED, CLOSED) is fitting
    assert jsonschema.Draft202012Validator(CLOSED).is_valid(value) is fitting


def test_an_object_says_that_it_is_emulated() -> None:
    text, _ = asked(FINDINGS, Persona())
    assert text.startswith('{"emulated":"m",')
    closed = json.loads(asked(CLOSED, Persona())[0])
    assert closed["summary"] == "[emulated m] Review this."
    assert "emulated" not in json.loads(asked(NUMBERS, Persona())[0])


def test_fields_and_a_fixed_object_stand_as_they_are() -> None:
    scripted = json.loads(asked(FINDINGS, Persona(fields={"findings": [], "note": 1}))[0])
    assert scripted == {"emulated": "m", "summary": "Review this.", "findings": [], "note": 1}
    fixed = Persona("fixed", text='{"verdict": "oppose"}')
    assert json.loads(asked(FINDINGS, fixed)[0]) == {"emulated": "m", "verdict": "oppose"}
    assert json.loads(asked(None, fixed)[0]) == {"emulated": "m", "verdict": "oppose"}
    assert json.loads(asked(None, Persona(fields={"a": 1}))[0]) == {"emulated": "m", "a": 1}
    assert json.loads(asked(FINDINGS, Persona("fixed", text="[1]"))[0])["summary"] == "[1]"


def test_the_forms_of_an_object() -> None:
    valid, ended = asked(FINDINGS, Persona())
    assert (fits(json.loads(valid), FINDINGS, FINDINGS), ended) == (True, "stop")
    assert asked(FINDINGS, Persona(object_form="fenced")) == (f"```json\n{valid}\n```", "stop")
    prose, _ = asked(FINDINGS, Persona(object_form="prose"))
    assert prose.startswith("[emulated m] Here")
    assert valid in prose.splitlines()
    assert asked(FINDINGS, Persona(object_form="cut")) == (valid[: len(valid) // 2], "length")
    wrong = json.loads(asked(FINDINGS, Persona(object_form="violating"))[0])
    assert wrong.keys() == {"emulated", "summary"}
    loose = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert json.loads(asked(loose, Persona(object_form="violating"))[0]) == [
        {"emulated": "m", "a": "Review this."}
    ]


@pytest.mark.parametrize(
    "schema", [FINDINGS, CLOSED, {"type": "object", "properties": {"a": {"type": "string"}}}]
)
@pytest.mark.parametrize("role", ["assistant", "user"])
def test_the_second_try_is_right(schema: dict[str, Any], role: str) -> None:
    persona = Persona(object_form="second_try")
    earlier = {"role": "assistant", "content": "[emulated m] Hello."}
    asking = {"role": "user", "content": f"Review this, by the schema {json.dumps(schema)}"}
    first, _ = asked(schema, persona, earlier, asking)
    assert not fits(json.loads(first), schema, schema)
    shown = (
        [{"role": "assistant", "content": first}, {"role": "user", "content": "A property is missing."}]
        if role == "assistant"
        else [{"role": "user", "content": f"This breaks the schema: {first}"}]
    )
    second, _ = asked(schema, persona, asking, *shown)
    assert fits(json.loads(second), schema, schema)


def test_a_schema_in_the_prompt_is_found_behind_the_word() -> None:
    text = json.dumps(FINDINGS, indent=2)
    told = (
        "system",
        f"Answer with one object that fits this JSON schema:\n```json\n{text}\n```\nNothing else.",
    )
    shown = ("user", f"The schema of something else: {json.dumps(NUMBERS)}")
    assert schema_in_prompt([told, shown]) == FINDINGS
    assert schema_in_prompt([shown]) == NUMBERS
    assert schema_in_prompt([("user", text)]) is None
    assert schema_in_prompt([("user", 'The schema is {"a": 1}, {not json {"type": "object"}')]) is None
    assert schema_in_prompt([("user", f"Schema: {json.dumps(RECURSIVE)}")]) == RECURSIVE
    inner = {**NUMBERS, "description": "By the schema of numbers."}
    outer = {**FINDINGS, "properties": {"a": {"description": "See the schema", **inner}, "b": inner}}
    assert schema_in_prompt([("user", f"Schema: {json.dumps(outer)}")]) == outer
    code = "if (x) { y(); }\n" * 5_000
    assert (
        schema_in_prompt([("user", f"{code} By the schema {{below}}: {json.dumps(NUMBERS)}\n{code}")])
        == NUMBERS
    )


@pytest.mark.parametrize("door", ["kimi", "custom", "kimi_responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_of_the_request_is_answered(ask: Any, door: str, stream: bool) -> None:
    form = {"name": "findings", "schema": FINDINGS}
    fields: dict[str, Any] = {
        "response_format": {"type": "json_schema", "json_schema": form},
        "stream": stream,
    }
    if door == "kimi_responses":
        text = {"format": {"type": "json_schema", **form}}
        reply = await ask(door, input="Hi.", text=text, messages=None)
        content = next(each for each in reply.json["output"] if each["type"] == "message")["content"][0][
            "text"
        ]
    else:
        reply = await ask(door, **fields)
        choices = (
            [frame["choices"][0] for frame in reply.frames if frame != "[DONE]" and frame["choices"]]
            if stream
            else []
        )
        content = (
            "".join(choice["delta"].get("content") or "" for choice in choices)
            if stream
            else reply.json["choices"][0]["message"]["content"]
        )
    assert fits(json.loads(content), FINDINGS, FINDINGS)
    assert json.loads(content)["summary"] in ("Say hello.", "Hi.")


@pytest.mark.parametrize("door", ["glm", "glm_coding", "kimi", "custom"])
async def test_json_mode_answers_by_the_schema_of_the_prompt(ask: Any, door: str) -> None:
    messages = [
        {"role": "system", "content": f"Answer in JSON by this schema: {json.dumps(CLOSED)}"},
        {"role": "user", "content": "Review this."},
    ]
    reply = await ask(door, messages=messages, response_format={"type": "json_object"})
    value = json.loads(reply.json["choices"][0]["message"]["content"])
    assert fits(value, CLOSED, CLOSED)
    assert value["summary"].startswith("[emulated ")


async def test_glm_ignores_the_schema_of_a_request(ask: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "findings", "schema": FINDINGS}}
    reply = await ask("glm", response_format=form)
    assert reply.json["choices"][0]["message"]["content"] == "[emulated glm-5.3] Say hello."


async def test_the_form_is_ordered_at_the_control_port(emulator: Emulator, http: Any, ask: Any) -> None:
    order = {"persona": {"object_form": "fenced", "fields": {"answer": "Yes."}}}
    async with http.post(f"{emulator.addresses.control}/_ctl/persona", json=order) as reply:
        assert reply.status == 200
    answered = await ask("kimi", response_format={"type": "json_object"})
    content = answered.json["choices"][0]["message"]["content"]
    assert content == '```json\n{"emulated":"kimi-k3","answer":"Yes."}\n```'
    wrong = {"persona": {"object_form": "framed"}}
    async with http.post(f"{emulator.addresses.control}/_ctl/persona", json=wrong) as reply:
        assert reply.status == 400
