"""The tools and the prompt that ask the client for input by their result, over one or more rounds."""

from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from conformance.suite_registry import Context, Tools, ask_user, asks, sample, text

__all__ = ["ROUNDS", "user_context"]

ROUNDS = Tools()

Params = types.CallToolRequestParams
Result = types.CallToolResult | types.InputRequiredResult

_NAME = ask_user("What is your name?", name="string")
_CONFIRM = ask_user("Please confirm", ok="boolean")
_CONTEXT = ask_user("What context should the prompt use?", context="string")
_ROOTS = types.ListRootsRequest()


@ROUNDS.tool("test_input_required_result_elicitation")
async def elicitation(_: Context, params: Params) -> Result:
    """Asks the user for a name and greets it."""
    content = _accepted(params, "user_name")
    return asks(user_name=_NAME) if content is None else text(f"Hello, {content['name']}!")


@ROUNDS.tool("test_input_required_result_sampling")
async def sampling(_: Context, params: Params) -> Result:
    """Asks the client's model for a capital."""
    answer = (params.input_responses or {}).get("capital_question")
    if not isinstance(answer, types.CreateMessageResult | types.CreateMessageResultWithTools):
        return asks(capital_question=sample("What is the capital of France?"))
    return text(str(answer.content))


@ROUNDS.tool("test_input_required_result_list_roots")
async def list_roots(_: Context, params: Params) -> Result:
    """Asks the client for its roots and names them."""
    answer = (params.input_responses or {}).get("client_roots")
    if not isinstance(answer, types.ListRootsResult):
        return asks(client_roots=_ROOTS)
    return text(", ".join(str(root.uri) for root in answer.roots) or "no roots")


@ROUNDS.tool("test_input_required_result_request_state")
async def request_state(_: Context, params: Params) -> Result:
    """Asks for a yes and gets its own state back."""
    if _accepted(params, "confirm") is None:
        return asks("to be confirmed", confirm=_CONFIRM)
    _expect_state(params, "to be confirmed")
    return text("state-ok")


@ROUNDS.tool("test_input_required_result_tampered_state")
async def tampered_state(_: Context, params: Params) -> Result:
    """Asks for a yes; its state cannot be changed on the way."""
    if _accepted(params, "confirm") is None:
        return asks("not to be changed", confirm=_CONFIRM)
    _expect_state(params, "not to be changed")
    return text("state-ok")


@ROUNDS.tool("test_input_required_result_multiple_inputs")
async def multiple_inputs(_: Context, params: Params) -> Result:
    """Asks the user, the client's model and for the roots at once."""
    wanted: dict[str, types.InputRequest] = {
        "user_name": _NAME,
        "greeting": sample("Generate a greeting", max_tokens=50),
        "client_roots": _ROOTS,
    }
    if not set(wanted) <= set(params.input_responses or {}):
        return asks("all three", **wanted)
    _expect_state(params, "all three")
    return text("Got all three.")


@ROUNDS.tool("test_input_required_result_multi_round")
async def multi_round(_: Context, params: Params) -> Result:
    """Asks the user in two steps."""
    if _accepted(params, "step2") is not None:
        _expect_state(params, "after the name")
        return text("Done after two steps.")
    if _accepted(params, "step1") is not None:
        _expect_state(params, "before the name")
        return asks("after the name", step2=ask_user("Step 2: What is your favorite color?", color="string"))
    return asks("before the name", step1=ask_user("Step 1: What is your name?", name="string"))


@ROUNDS.tool("test_input_required_result_capabilities")
async def capabilities(context: Context, _: Params) -> Result:
    """Asks only for what the client says it can do."""
    wanted: dict[str, types.InputRequest] = {}
    if context.session.check_client_capability(
        types.ClientCapabilities(elicitation=types.ElicitationCapability())
    ):
        wanted["user_name"] = _NAME
    if context.session.check_client_capability(types.ClientCapabilities(sampling=types.SamplingCapability())):
        wanted["greeting"] = sample("Generate a greeting")
    return asks(None, **wanted)


def user_context(params: types.GetPromptRequestParams) -> types.GetPromptResult | types.InputRequiredResult:
    """The prompt `test_input_required_result_prompt`."""
    content = _accepted(params, "user_context")
    if content is None:
        return asks(user_context=_CONTEXT)
    words = types.TextContent(type="text", text=f"Use this context: {content['context']}")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=words)])


def _accepted(params: Params | types.GetPromptRequestParams, key: str) -> dict[str, Any] | None:
    """What the user filled into the form `key`; `None` without an accepted answer."""
    answer = (params.input_responses or {}).get(key)
    if isinstance(answer, types.ElicitResult) and answer.action == "accept":
        return answer.content
    return None


def _expect_state(params: Params, state: str) -> None:
    if params.request_state != state:
        raise MCPError(types.INVALID_PARAMS, "This requestState belongs to another round. Begin again.")
