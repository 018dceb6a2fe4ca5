"""`chat`: which inquiry is made of its arguments."""

from typing import Any, cast

import pytest

from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.errors import BadArguments
from exai.messages import Effort
from exai.tools.arguments import parse_arguments
from exai.tools.base import Requested
from exai.tools.chat import Chat, ChatArguments
from exai.tools.prompts import prompt


class Asked(Exception):
    """Ends a call where a model would be asked."""


class NotedInquiry:
    """Takes the place of the consultant; keeps the inquiry."""

    def __init__(self) -> None:
        self.inquiry: Inquiry | None = None

    async def consult(self, inquiry: Inquiry, _: CallContext) -> Any:
        self.inquiry = inquiry
        raise Asked


async def inquiry_of(**arguments: Any) -> Inquiry | None:
    noted, context = NotedInquiry(), cast("CallContext", None)
    chat = Chat(cast("Consultant", noted))
    with pytest.raises(Asked):
        await chat.run(parse_arguments(chat.tool(), arguments), context)
    return noted.inquiry


async def test_a_prompt_alone_leaves_everything_to_the_model() -> None:
    assert await inquiry_of(prompt="What?") == Inquiry(
        instructions=prompt("chat"), question="What?", file_paths=[], images=[]
    )


async def test_every_argument_reaches_the_inquiry() -> None:
    asked = await inquiry_of(
        prompt="What?",
        model="glm-5.3",
        fallback_models=["kimi-k3"],
        absolute_file_paths=["/a.txt"],
        images=["/b.png"],
        effort="low",
        use_websearch=True,
        temperature=0.5,
        max_answer_tokens=99,
        continuation_id="conv_1",
    )
    assert asked == Inquiry(
        instructions=prompt("chat"),
        question="What?",
        model="glm-5.3",
        fallback_models=["kimi-k3"],
        file_paths=["/a.txt"],
        images=["/b.png"],
        effort=Effort.LOW,
        web_search=True,
        temperature=0.5,
        max_answer_tokens=99,
        continuation_id="conv_1",
    )


@pytest.mark.parametrize(
    ("arguments", "effort"),
    [
        ({"effort": " High "}, Effort.HIGH),
        ({"thinking_mode": "minimal"}, Effort.LOW),
        ({"reasoning_effort": "xhigh"}, Effort.MAX),
        ({"effort": "off"}, Effort.NONE),
    ],
)
async def test_efforts_of_other_servers_are_taken(arguments: dict[str, str], effort: Effort) -> None:
    asked = await inquiry_of(prompt="What?", **arguments)
    assert asked is not None
    assert asked.effort is effort


@pytest.mark.parametrize("arguments", [{"prompt": " \n"}, {"prompt": "What?", "effort": "utmost"}])
async def test_what_cannot_be_asked_names_the_argument(arguments: dict[str, str]) -> None:
    absent: Any = None
    chat = Chat(absent)
    with pytest.raises(BadArguments, match=f"Argument '{list(arguments)[-1]}'"):
        await chat.run(parse_arguments(chat.tool(), arguments), absent)


def test_the_journal_learns_which_model_and_conversation_were_asked_for() -> None:
    arguments = ChatArguments(prompt="What?", model="kimi-k3", continuation_id="conv_1")
    assert arguments.requested() == Requested("kimi-k3", "conv_1")
