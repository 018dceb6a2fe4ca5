"""The tools that the conformance suite calls, as its scenarios describe them."""

import asyncio
from typing import Any

import mcp_types as types
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

from conformance.suite_registry import AUDIO, IMAGE, Context, Tools, ask_user, sample, text

__all__ = ["BUS", "TOOLS"]

TOOLS = Tools()
BUS = InMemorySubscriptionBus()
"""Where the tools say that a list has changed."""

PAUSE_S = 0.05
"""The suite asks for about this long between two notifications."""

Params = types.CallToolRequestParams
Result = types.CallToolResult

_PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}
_DEFAULTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
_TITLED = [{"const": f"value{number}", "title": f"Choice {number}"} for number in (1, 2, 3)]
_ENUMS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
        },
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
}
_SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _one_string(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


def _resource(uri: str, mime_type: str, words: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    )


_PICTURE = types.ImageContent(type="image", data=IMAGE, mime_type="image/png")


@TOOLS.tool("test_simple_text")
async def simple_text(_: Context, __: Params) -> Result:
    """Answers with one text."""
    return text("This is a simple text response for testing.")


@TOOLS.tool("test_image_content")
async def image_content(_: Context, __: Params) -> Result:
    """Answers with an image."""
    return Result(content=[_PICTURE])


@TOOLS.tool("test_audio_content")
async def audio_content(_: Context, __: Params) -> Result:
    """Answers with a sound."""
    return Result(content=[types.AudioContent(type="audio", data=AUDIO, mime_type="audio/wav")])


@TOOLS.tool("test_embedded_resource")
async def embedded_resource(_: Context, __: Params) -> Result:
    """Answers with a resource."""
    words = "This is an embedded resource content."
    return Result(content=[_resource("test://embedded-resource", "text/plain", words)])


@TOOLS.tool("test_multiple_content_types")
async def multiple_content_types(_: Context, __: Params) -> Result:
    """Answers with a text, an image and a resource."""
    data = '{"test":"data","value":123}'
    return Result(
        content=[
            types.TextContent(type="text", text="Multiple content types test:"),
            _PICTURE,
            _resource("test://mixed-content-resource", "application/json", data),
        ]
    )


@TOOLS.tool("test_error_handling")
async def error_handling(_: Context, __: Params) -> Result:
    """Answers with an error."""
    words = types.TextContent(type="text", text="This tool intentionally returns an error for testing")
    return Result(content=[words], is_error=True)


@TOOLS.tool("test_tool_with_logging")
async def tool_with_logging(context: Context, _: Params) -> Result:
    """Logs three times to the client."""
    await _log(context, "Tool execution started")
    await asyncio.sleep(PAUSE_S)
    await _log(context, "Tool processing data")
    await asyncio.sleep(PAUSE_S)
    await _log(context, "Tool execution completed")
    return text("Logged three times.")


@TOOLS.tool("test_logging_tool")
async def logging(context: Context, _: Params) -> Result:
    """Logs once, to a client that asked for it."""
    await _log(context, "A line for clients that set a level")
    return text("Logged to whoever asked for it.")


@TOOLS.tool("test_tool_with_progress")
async def tool_with_progress(context: Context, _: Params) -> Result:
    """Reports progress three times."""
    await context.session.report_progress(0, 100)
    await asyncio.sleep(PAUSE_S)
    await context.session.report_progress(50, 100)
    await asyncio.sleep(PAUSE_S)
    await context.session.report_progress(100, 100)
    return text("Went from 0 to 100.")


@TOOLS.tool("test_sampling", _one_string("prompt"))
async def sampling(context: Context, params: Params) -> Result:
    """Asks the client's model."""
    answer = await context.session.send_request(
        sample((params.arguments or {})["prompt"]),
        types.CreateMessageResult,
        metadata=ServerMessageMetadata(related_request_id=context.request_id),
    )
    content = answer.content
    return text(f"LLM response: {content.text if isinstance(content, types.TextContent) else content}")


@TOOLS.tool("test_elicitation", _one_string("message"))
async def elicitation(context: Context, params: Params) -> Result:
    """Asks the user."""
    answer = await _elicited(context, (params.arguments or {})["message"], _PERSON)
    return text(f"User response: action={answer.action}, content={answer.content}")


@TOOLS.tool("test_elicitation_sep1034_defaults")
async def elicitation_sep1034_defaults(context: Context, _: Params) -> Result:
    """Asks the user by a form with a default for every primitive type."""
    answer = await _elicited(context, "Please check these values.", _DEFAULTS)
    return text(f"Elicitation completed: action={answer.action}, content={answer.content}")


@TOOLS.tool("test_elicitation_sep1330_enums")
async def elicitation_sep1330_enums(context: Context, _: Params) -> Result:
    """Asks the user by a form with every kind of choice."""
    answer = await _elicited(context, "Please choose.", _ENUMS)
    return text(f"Elicitation completed: action={answer.action}, content={answer.content}")


@TOOLS.tool("json_schema_2020_12_tool", _SCHEMA_2020_12)
async def json_schema_2020_12(_: Context, __: Params) -> Result:
    """Has a schema with keywords of JSON Schema 2020-12."""
    return text("Called.")


_IN_HEADERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "priority": {"type": "integer", "x-mcp-header": "Priority"},
        "query": {"type": "string"},
    },
    "required": ["region"],
}


@TOOLS.tool("test_custom_headers", _IN_HEADERS)
async def custom_headers(_: Context, params: Params) -> Result:
    """Has arguments that its client sends as headers too."""
    return text(f"Called in {(params.arguments or {}).get('region')}.")


@TOOLS.tool("test_missing_capability")
async def missing_capability(context: Context, _: Params) -> Result:
    """Needs a client that can sample."""
    needed = types.ClientCapabilities(sampling=types.SamplingCapability())
    if not context.session.check_client_capability(needed):
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "This tool needs a client that declares the capability `sampling`.",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return text("The client can sample.")


@TOOLS.tool("test_streaming_elicitation")
async def streaming_elicitation(context: Context, _: Params) -> Result | types.InputRequiredResult:
    """Asks the user in its result, after progress and never by a request on the stream."""
    await context.session.report_progress(1, 2)
    request = ask_user("What is your name?", name="string")
    return types.InputRequiredResult(result_type="input_required", input_requests={"user_name": request})


@TOOLS.tool("test_trigger_tool_change")
async def trigger_tool_change(_: Context, __: Params) -> Result:
    """Says that the list of tools has changed."""
    await BUS.publish(ToolsListChanged())
    return text("Said so.")


@TOOLS.tool("test_trigger_prompt_change")
async def trigger_prompt_change(_: Context, __: Params) -> Result:
    """Says that the list of prompts has changed."""
    await BUS.publish(PromptsListChanged())
    return text("Said so.")


async def _elicited(context: Context, message: str, schema: dict[str, Any]) -> types.ElicitResult:
    return await context.session.elicit_form(message, schema, related_request_id=context.request_id)


async def _log(context: Context, words: str) -> None:
    await context.session.send_log_message("info", words, related_request_id=context.request_id)
