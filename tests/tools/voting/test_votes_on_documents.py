"""`consensus` about documents that each model is shown in its own way, at the emulated providers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exai.consulting.context import CallContext
from exai.files.faults import NoText
from exai.routing.progress import SilentProgress
from exai.storage.database import Database
from exai.tools.arguments import parse_arguments
from exai.tools.voting.consensus import ConsensusTool
from exai.tools.voting.outcome import Consensus
from exai_emulator.personas import Persona
from support.consulted_files import ALICE, Talk
from support.copying import Copying
from support.desks import Desk
from support.document_parts import scan
from support.scripted import asker, asking

pytestmark = pytest.mark.sqlite

VOTE = {"verdict": "yes", "confidence": 8, "points": ["it is blank"], "moved_by": ""}


@pytest.fixture
async def talk(desk: Desk, database: Database, tmp_path: Path) -> AsyncIterator[Talk]:
    copying = Copying(desk.emulator, database, tmp_path / ".other", desk.clock, keep_free_bytes=0)
    desk.emulator.persona = Persona("fixed", text=json.dumps(VOTE))
    yield Talk(database, tmp_path, Desk(desk.emulator, copying.router, desk.clock))
    await copying.router.close()


async def vote(talk: Talk, file_id: str, *models: str) -> Consensus:
    tool = ConsensusTool(talk._consultant)
    given = parse_arguments(
        tool.tool(),
        {
            "question": "Is it blank?",
            "models": list(models),
            "absolute_file_paths": [file_id],
            "options": ["yes", "no"],
            "arbiter": "none",
        },
    )
    context = CallContext("call", ALICE, asker(asking(talk.desk.router)), SilentProgress())
    result: Any = (await tool.run(given, context)).result
    assert isinstance(result, Consensus)
    return result


def shown(talk: Talk, model: str) -> list[Any]:
    """What the user's message of a model's request has."""
    (request,) = [
        each
        for each in talk.desk.emulator.log.requests
        if isinstance(each.body, dict) and each.body.get("model") == model
    ]
    content = next(each for each in reversed(request.body["messages"]) if each["role"] == "user")["content"]
    return [content] if isinstance(content, str) else content


async def test_each_model_is_shown_a_scan_as_it_can_take_it_and_who_cannot_has_no_vote(talk: Talk) -> None:
    handle = await talk.put("scan.pdf", scan())
    result = await vote(talk, handle, "glm-5.3", "kimi-k2.6", "glm-4.6v")
    assert [(each.model, each.code) for each in result.without_vote] == [("glm-5.3", "no_text")]
    assert "Models of Kimi" in result.without_vote[0].reason
    assert sorted(each.model for each in result.votes) == ["glm-4.6v", "kimi-k2.6"]
    assert "[emulated recognition of page 1" in str(shown(talk, "kimi-k2.6"))
    seen = shown(talk, "glm-4.6v")
    assert "emulated recognition" not in str(seen)
    assert [part["type"] for part in seen if isinstance(part, dict) and part["type"] == "file"] == ["file"]


async def test_a_document_that_no_model_can_be_shown_is_the_answer_of_the_call(talk: Talk) -> None:
    handle = await talk.put("scan.pdf", scan())
    with pytest.raises(NoText, match="Models of Kimi"):
        await vote(talk, handle, "glm-5.3", "glm-5.2")
    assert [each for each in talk.desk.emulator.log.requests if "chat" in each.path] == []
