"""`challenge`: an instruction without a model, or a judgement by one that is not told whose the claim is."""

from typing import Any, cast

import pytest

from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.errors import BadArguments
from exai.tools.arguments import parse_arguments
from exai.tools.base import Requested
from exai.tools.challenge import Challenge, ChallengeArguments, Judged
from exai_emulator import Emulator, Persona
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket


async def challenge(socket: McpSocket, **arguments: Any) -> dict[str, Any]:
    params = {"name": "challenge", "arguments": {"statement": "Owls see at night.", **arguments}}
    result: dict[str, Any] = (await socket.request("tools/call", params))["result"]
    return result


async def test_without_a_model_it_says_how_to_look_again() -> None:
    absent: Any = None
    tool = Challenge(absent)
    given = parse_arguments(tool.tool(), {"prompt": "Owls see at {night}."})
    judged = (await tool.run(given, absent)).result
    assert judged.text() == judged.answer
    assert "Owls see at {night}." in judged.answer
    assert judged.verdict is None


async def test_what_is_blank_is_no_claim() -> None:
    tool = Challenge(cast("Consultant", None))
    with pytest.raises(BadArguments, match="Argument 'statement' is blank"):
        await tool.run(ChallengeArguments(statement=" "), cast("CallContext", None))


def test_the_journal_learns_which_model_was_asked_for() -> None:
    assert ChallengeArguments(statement="x", model="kimi-k3").requested() == Requested("kimi-k3")


async def test_another_model_judges_the_claim_by_itself(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    fields = {"verdict": "fails", "reasons": ["Some owls hunt by day."], "would_settle": "Watch one."}
    emulator.persona = Persona(fields=fields)
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        judged = await challenge(socket, independent=True)
        said = judged["structuredContent"]
        assert (said["verdict"], said["model_used"]) == ("fails", "glm-5.3")
        assert said["answer"] == "- Some owls hunt by day.\nWhat would settle it: Watch one."
        assert "The claim: fails." in judged["content"][0]["text"]
        assert judged["_meta"]["exai/report"]["cost_usd"] > 0
        (asked,) = [each.body for each in emulator.log.requests if "/chat/completions" in each.path]
        assert asked["messages"][-1]["content"] == "The claim:\n\nOwls see at night."
        goes_on = {"prompt": "Why?", "continuation_id": said["continuation_id"]}
        answer = await socket.request("tools/call", {"name": "chat", "arguments": goes_on})
        assert not answer["result"]["isError"]


@pytest.mark.parametrize("form", ["fenced", "prose", "second_try"])
async def test_a_judgement_is_read_in_whatever_form_it_comes(
    start_in_process: StartInProcess, emulator: Emulator, form: Any
) -> None:
    emulator.persona = Persona(fields={"verdict": "holds", "reasons": ["It does."]}, object_form=form)
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for model in ("glm-5.3", "kimi-k3"):
            answer = await challenge(socket, model=model)
            assert not answer["isError"], answer
            said = answer["structuredContent"]
            assert said["verdict"] == "holds", model
            assert "structured" not in said


@pytest.mark.parametrize("form", ["violating", "cut"])
async def test_what_stays_unreadable_is_given_as_text_and_said_to_be(
    start_in_process: StartInProcess, emulator: Emulator, form: Any
) -> None:
    emulator.persona = Persona(object_form=form)
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        said = (await challenge(socket, model="kimi-k3"))["structuredContent"]
    assert said["structured"] is False
    assert "verdict" not in said
    assert any(note.startswith("The answer is text and no object") for note in said["notes"])
    assert said["answer"].startswith(('{"emulated"', "["))


def test_a_judgement_in_text_and_in_fields_is_the_same() -> None:
    judged = Judged(verdict="open", model_used="m", answer="- Perhaps.", notes=("A note.",))
    assert judged.text() == "[continuation_id: none | m]\nNote: A note.\n\nThe claim: open.\n- Perhaps."
