"""`verdict`: a second tool that asks a model, as short as one can be that uses all that a tool may have."""

from typing import Annotated, Literal

import msgspec

from exai import config
from exai.auth import scopes
from exai.consulting.arguments import ContinuationId, FilePaths, ModelName
from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.consulting.results import Result, ToolReturn
from exai.tools.aliases import Alias
from exai.tools.base import Arguments, Requested, Tool

__all__ = ["Verdict"]


class VerdictArguments(Arguments, frozen=True):
    claim: Annotated[str, msgspec.Meta(min_length=1, description="What is to be judged")]
    absolute_file_paths: FilePaths = msgspec.field(default_factory=list)
    model: ModelName | None = None
    use_websearch: bool = False
    continuation_id: ContinuationId | None = None

    def requested(self) -> Requested:
        return Requested(model=self.model, conversation_id=self.continuation_id)


class Judged(Result, frozen=True, kw_only=True):
    verdict: Literal["holds", "fails", "open"]
    reasons: str
    continuation_id: str | None
    model_used: str
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        return f"The claim {self.verdict}. {self.reasons}\n\n[continuation_id: {self.continuation_id}]"


class Verdict:
    """Judges a claim; calls of one tool of the model's are enough for it."""

    def __init__(self, consultant: Consultant, *, deadline_s: float | None = None) -> None:
        self._consultant = consultant
        self._deadline_s = deadline_s

    def tool(self) -> Tool[VerdictArguments, Judged]:
        return Tool(
            name="verdict",
            title="Judge a claim",
            description="Whether a claim holds, with reasons.",
            arguments=VerdictArguments,
            result=Judged,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"use_websearch": scopes.SEARCH},
            unlisted=frozenset({"model", "use_websearch"}),
            argument_aliases={"files": "absolute_file_paths"},
            aliases=(
                Alias(
                    "factcheck",
                    renames={"thread": "continuation_id"},
                    joins={"claim": ("statement", "evidence")},
                    presets={"use_websearch": True},
                    ignored=frozenset({"step_number"}),
                ),
            ),
            deadline_s=self._deadline_s,
            meta={"example.org/kind": "judgement"},
        )

    async def run(self, arguments: VerdictArguments, context: CallContext) -> ToolReturn[Judged]:
        inquiry = Inquiry(
            instructions="Answer with holds, fails or open, and say why.",
            question=arguments.claim,
            model=arguments.model,
            file_paths=arguments.absolute_file_paths,
            web_search=arguments.use_websearch,
            continuation_id=arguments.continuation_id,
            tool_limits=config.ToolLoop(max_rounds=1),
        )
        consultation = await self._consultant.consult(inquiry, context)
        answer = consultation.completion.text
        result = Judged(
            verdict="holds" if "holds" in answer else "fails" if "fails" in answer else "open",
            reasons=answer,
            continuation_id=consultation.conversation_id,
            model_used=consultation.completion.model,
            notes=consultation.notes,
        )
        return ToolReturn(result, consultation.findings)
