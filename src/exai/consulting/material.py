"""The question of a prompt with its files and pictures, as far as they fit into a model's window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from exai.consulting.context import CallContext
from exai.consulting.files.blocks import Block, excerpt_block, whole_block
from exai.consulting.files.gathered import AttachedItem, Gathered, LeftOut
from exai.consulting.files.gathering import FileSources
from exai.consulting.files.text_items import TextItem
from exai.consulting.inquiry import Inquiry
from exai.errors import BadArguments
from exai.files.documents.numbering import framed_name
from exai.files.paths.opening import shown
from exai.messages import Image

__all__ = ["Material", "ShownMaterial", "gather"]

NAMED_LEFT_OUT = 3
NAMED_SECRETS = 5
WHOLE_SHARE = 0.5
"""Of the window, for texts that are shown whole where others are not: the rest is for reading those."""


@dataclass(frozen=True, slots=True)
class ShownMaterial:
    """What one model is shown."""

    blocks: tuple[Block, ...]
    images: tuple[Image, ...]
    left_out: tuple[LeftOut, ...]
    question: str = field(repr=False)
    """The question with its files in front, as it is sent."""
    can_read: bool
    """Whether the model has tools by which it reads what it is not shown."""
    secrets_replaced: bool = True
    sources: tuple[str, ...] = ()
    """Sentences about what was stored on the way."""
    attached: tuple[AttachedItem, ...] = ()
    """Files that it is shown as they are."""

    @property
    def excerpts(self) -> tuple[TextItem, ...]:
        """The texts of which it is shown a part."""
        return tuple([block.item for block in self.blocks if not block.is_whole]) if self.blocks else ()

    @property
    def as_recorded(self) -> str:
        """The question as later calls recall it; pictures and files are named, not kept."""
        if not self.images and not self.attached:
            return self.question
        counts = ((len(self.images), "picture"), (len(self.attached), "file"))
        named = " and ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts if count)
        return f"{self.question}\n\n[{named} shown here, no longer attached]"

    def about(self, question: str) -> "ShownMaterial":
        """Return the same with another question."""
        return replace(self, question=_with_files(self.blocks, self.attached, question))

    @property
    def notes(self) -> Iterator[str]:
        """What is not as usual, in sentences for the caller."""
        yield from self.sources
        if self.blocks:
            yield from self._notes_on_texts()
        if self.left_out:
            named = "; ".join(f"{shown(each.name)} ({each.why})" for each in self.left_out[:NAMED_LEFT_OUT])
            more = len(self.left_out) - NAMED_LEFT_OUT
            yield f"Left out of folders: {named}{f'; and {more} more' if more > 0 else ''}."

    def _notes_on_texts(self) -> Iterator[str]:
        excerpts = ", ".join(block.item.id for block in self.blocks if not block.is_whole)
        if excerpts:
            rest = "and could read the rest by tools" if self.can_read else "and nothing of the rest"
            yield f"Too large to be shown whole: {excerpts}. The model saw beginning, end and outline, {rest}."
        for block in self.blocks:
            if block.item.cut is not None:
                yield f"{block.item.id} is not all of its document: {block.item.cut}."
        if hidden := sum(block.hidden for block in self.blocks):
            yield f"{hidden} invisible characters in files were shown as codes, such as \\u202e."
        if secrets := [(block.item.id, place) for block in self.blocks for place in block.item.secrets]:
            named = ", ".join(
                f"{name} line {place.line} ({place.rule})" for name, place in secrets[:NAMED_SECRETS]
            )
            further = f" and {len(secrets) - NAMED_SECRETS} more" if len(secrets) > NAMED_SECRETS else ""
            what = (
                "were replaced before anything was sent" if self.secrets_replaced else "were sent as they are"
            )
            yield f"What looks like secrets {what}: {named}{further}."


@dataclass(frozen=True, slots=True)
class Material:
    """What was read for an inquiry; the same for every model."""

    gathered: Gathered
    question: str = field(repr=False)
    """The caller's own."""
    secrets_replaced: bool = True
    """Whether secrets in texts were replaced, and not sent."""

    @property
    def attached(self) -> tuple[AttachedItem, ...]:
        """The files that models are shown as they are."""
        return tuple(self.gathered.attached)

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures, by whatever argument they were named."""
        return tuple(self.gathered.images)

    async def shown(self, room: float, *, can_read: bool) -> ShownMaterial:
        """Show what fits into so many tokens: small texts first, and of what does not fit an excerpt."""
        whole = self._fitting(room) if self.gathered.texts else set()
        blocks = []
        for item in self.gathered.texts:
            block = whole_block(item) if item.id in whole else None
            blocks.append(block or await excerpt_block(item, can_read=can_read))
        attached = self.attached
        question = _with_files(blocks, attached, self.question)
        return ShownMaterial(
            tuple(blocks),
            self.images,
            tuple(self.gathered.left_out),
            question,
            can_read,
            self.secrets_replaced,
            tuple(self.gathered.notes),
            attached,
        )

    def _fitting(self, room: float) -> set[str]:
        fitting: set[str] = set()
        if sum(map(_tokens, self.gathered.texts)) > room:
            room *= WHOLE_SHARE
        for item in sorted(self.gathered.texts, key=_tokens):
            room -= _tokens(item)
            if item.whole is None or room < 0:
                break
            fitting.add(item.id)
        return fitting


def _with_files(blocks: Sequence[Block], attached: Sequence[AttachedItem], question: str) -> str:
    headings = [_heading(item) for item in attached] if attached else ()
    return "\n".join([*(block.text for block in blocks), *headings, question])


def _heading(item: AttachedItem) -> str:
    """Say under which id an attached file is cited."""
    name, kind = framed_name(item.attachment.name), item.attachment.kind
    return f"<<<ATTACHED {item.id} {name} {kind} sha256:{item.sha256[:12]}>>>\n"


def _tokens(item: TextItem) -> float:
    return float("inf") if item.whole is None else item.whole.tokens


async def gather(inquiry: Inquiry, sources: FileSources, context: CallContext) -> Material:
    """Read the files and pictures of the caller's inquiry.

    Raises:
        BadArguments: a provider is to read documents, and none may.
        FileRefused: one of them may not or cannot be read.
        Overloaded: the caller's calls hold too much already.
        ScopeMissing: a stored file is named without the scope for that.
        ToolFault: what is wrong with a stored file or a document.
    """
    wanted = inquiry.reads_documents or (
        "provider" if sources.settings.extract == "provider_first" else "here"
    )
    if inquiry.reads_documents == "provider" and sources.by_provider is None:
        raise BadArguments(
            "Documents are sent to no provider to be read here (`files.extract`). Leave `read_documents` out."
        )
    gathered = await sources.gather(
        context.caller,
        inquiry.file_paths,
        inquiry.images,
        context.hold,
        send_secrets=inquiry.send_secrets,
        reads_here=wanted == "here",
        numbered_after=inquiry.numbered_after,
    )
    replaced = sources.secrets.mode == "redact" and not inquiry.send_secrets
    return Material(gathered, inquiry.question, secrets_replaced=replaced)
