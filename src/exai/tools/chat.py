"""`chat`: one question to one model, in a conversation that goes on by handle."""

from typing import Annotated

import msgspec

from exai.auth import scopes
from exai.consulting.answer import AnswerReport, ModelAnswer, Preview
from exai.consulting.arguments import (
    EFFORT_NAMES,
    AnswerTokens,
    BudgetUsd,
    ContinuationId,
    DryRun,
    EffortName,
    FallbackModels,
    FilePaths,
    Fork,
    ImageSources,
    ModelName,
    ReadDocuments,
    SendSecrets,
    Temperature,
    effort_named,
)
from exai.consulting.budgets import within_budget
from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.consulting.preview import preview_of_one
from exai.consulting.results import ToolReturn
from exai.errors import BadArguments
from exai.tools.base import ANSWER_FIELDS, SHOWN_WHOLE, Arguments, Requested, Tool
from exai.tools.older.files import CHAT_WITH_FILES
from exai.tools.older.questions import QUESTIONS
from exai.tools.prompts import prompt

__all__ = ["Chat", "ChatArguments"]


ALONE = frozenset(
    {"prompt", "model", "fallback_models", "effort", "temperature", "max_answer_tokens", "use_websearch"}
)
"""Arguments with which an answer depends on their words alone."""


class ChatArguments(Arguments, frozen=True):
    prompt: Annotated[
        str, msgspec.Meta(min_length=1, description="The question, with what is needed to answer it")
    ]
    model: ModelName | None = None
    fallback_models: FallbackModels | None = None
    absolute_file_paths: FilePaths = msgspec.field(default_factory=list)
    images: ImageSources = msgspec.field(default_factory=list)
    effort: EffortName | None = None
    use_websearch: bool = False
    temperature: Temperature | None = None
    max_answer_tokens: AnswerTokens | None = None
    continuation_id: ContinuationId | None = None
    fork: Fork = False
    send_secrets: SendSecrets = False
    read_documents: ReadDocuments | None = None
    dry_run: DryRun = False
    budget_usd: BudgetUsd | None = None

    def requested(self) -> Requested:
        return Requested(self.model, self.continuation_id, None if self.dry_run else self.max_answer_tokens)


class Chat:
    """Asks a model a question, with files, pictures and the conversation so far."""

    def __init__(self, consultant: Consultant) -> None:
        self._consultant = consultant
        self._instructions = prompt("chat")

    def tool(self) -> Tool[ChatArguments, ModelAnswer]:
        """The catalogue's entry."""
        return Tool(
            name="chat",
            title="Ask a model",
            description=(
                "Ask a GLM or Kimi model: a second opinion, an explanation, ideas, a review of files "
                "(PDF and Office too) or pictures. "
                "Go on with continuation_id; the model then knows what was said before."
            ),
            arguments=ChatArguments,
            result=ModelAnswer,
            report=AnswerReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"use_websearch": scopes.SEARCH, "send_secrets": scopes.FILES_SECRETS},
            argument_aliases=EFFORT_NAMES,
            aliases=(*CHAT_WITH_FILES, *QUESTIONS),
            file_arguments=("absolute_file_paths", "images"),
            unlisted=frozenset(
                {
                    "fallback_models",
                    "temperature",
                    "max_answer_tokens",
                    "read_documents",
                    "send_secrets",
                    "dry_run",
                    "fork",
                    "budget_usd",
                }
            ),
            meta=SHOWN_WHOLE,
            open_world=True,
            listed_result=ANSWER_FIELDS,
            answers_alike=ALONE,
        )

    async def run(self, arguments: ChatArguments, context: CallContext) -> ToolReturn[ModelAnswer]:
        """Answer one question.

        Raises:
            ToolFault: one of its subclasses.
        """
        if not arguments.prompt.strip():
            raise BadArguments("Argument 'prompt' is blank. Say what you want to know.")
        inquiry = Inquiry(
            instructions=self._instructions,
            question=arguments.prompt,
            model=arguments.model,
            fallback_models=arguments.fallback_models,
            file_paths=arguments.absolute_file_paths,
            images=arguments.images,
            effort=effort_named(arguments.effort),
            web_search=arguments.use_websearch,
            temperature=arguments.temperature,
            max_answer_tokens=arguments.max_answer_tokens,
            continuation_id=arguments.continuation_id,
            fork=arguments.fork,
            send_secrets=arguments.send_secrets,
            reads_documents=arguments.read_documents,
        )
        if arguments.dry_run:
            model, requests, reason = await preview_of_one(self._consultant, inquiry, context)
            return ToolReturn(
                Preview(model_used=model, notes=() if reason is None else (reason,), answer=requests)
            )
        inquiry = await within_budget(self._consultant, inquiry, arguments.budget_usd, context)
        consultation = await self._consultant.consult(inquiry, context)
        return ToolReturn(ModelAnswer.of(consultation), consultation.findings, AnswerReport.of(consultation))
