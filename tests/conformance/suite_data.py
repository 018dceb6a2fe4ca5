"""The resources, prompts and completions that the conformance suite asks for."""

import json
import re

import mcp_types as types
from mcp.shared.exceptions import MCPError

from conformance.suite_registry import IMAGE
from conformance.suite_rounds import user_context

__all__ = ["PROMPTS", "RESOURCES", "TEMPLATES", "complete", "get_prompt", "read_resource"]

RESOURCES = [
    types.Resource(uri=uri, name=uri.removeprefix("test://"), description=f"{uri}.", mime_type=mime_type)
    for uri, mime_type in (
        ("test://static-text", "text/plain"),
        ("test://static-binary", "image/png"),
        ("test://watched-resource", "text/plain"),
    )
]
TEMPLATES = [
    types.ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template",
        description="Data of an id.",
        mime_type="application/json",
    )
]
PROMPTS = [
    types.Prompt(
        name=name,
        description=f"The prompt {name}.",
        arguments=[
            types.PromptArgument(name=argument, description=f"The argument {argument}.", required=True)
            for argument in arguments
        ],
    )
    for name, arguments in {
        "test_simple_prompt": (),
        "test_prompt_with_arguments": ("arg1", "arg2"),
        "test_prompt_with_embedded_resource": ("resourceUri",),
        "test_prompt_with_image": (),
        "test_input_required_result_prompt": (),
    }.items()
]
_TEXTS = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "This is the content of the watched resource.",
}


def read_resource(uri: str) -> types.ReadResourceResult:
    """A resource by its URI.

    Raises:
        MCPError: there is none; the code is that of 2026-07-28.
    """
    if (words := _TEXTS.get(uri)) is not None:
        content = types.TextResourceContents(uri=uri, mime_type="text/plain", text=words)
        return types.ReadResourceResult(contents=[content])
    if uri == "test://static-binary":
        blob = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=IMAGE)
        return types.ReadResourceResult(contents=[blob])
    if (match := re.fullmatch(r"test://template/([^/]+)/data", uri)) is not None:
        data = {"id": match[1], "templateTest": True, "data": f"Data for ID: {match[1]}"}
        content = types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(data))
        return types.ReadResourceResult(contents=[content])
    raise MCPError(types.INVALID_PARAMS, "There is no such resource.", {"uri": uri})


def get_prompt(params: types.GetPromptRequestParams) -> types.GetPromptResult | types.InputRequiredResult:
    """A prompt by its name.

    Raises:
        MCPError: there is none.
    """
    arguments = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _prompt(_text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            words = f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"
            return _prompt(_text(words))
        case "test_prompt_with_embedded_resource":
            resource = types.TextResourceContents(
                uri=arguments["resourceUri"],
                mime_type="text/plain",
                text="Embedded resource content for testing.",
            )
            return _prompt(
                types.EmbeddedResource(type="resource", resource=resource),
                _text("Please process the embedded resource above."),
            )
        case "test_prompt_with_image":
            picture = types.ImageContent(type="image", data=IMAGE, mime_type="image/png")
            return _prompt(picture, _text("Please analyze the image above."))
        case "test_input_required_result_prompt":
            return user_context(params)
        case _:
            raise MCPError(types.INVALID_PARAMS, "There is no such prompt.")


def complete() -> types.CompleteResult:
    """Nothing to suggest, which the suite accepts."""
    return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))


def _prompt(*contents: types.ContentBlock) -> types.GetPromptResult:
    return types.GetPromptResult(
        messages=[types.PromptMessage(role="user", content=content) for content in contents]
    )


def _text(words: str) -> types.TextContent:
    return types.TextContent(type="text", text=words)
