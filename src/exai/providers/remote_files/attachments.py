"""Shows models files as they are, such as videos: sent once per owner and content, then named by the provider's id."""

from collections import Counter
from collections.abc import Sequence

from exai.errors import AbilityMissing
from exai.messages import Attachment
from exai.providers.base import Prompt
from exai.providers.catalog import Model
from exai.providers.file_limits import FilePart
from exai.providers.pictures import Shown
from exai.providers.remote_files.copies import AccountCopies
from exai.providers.remote_files.file_store import FileRequest
from exai.storage.files.copy_rows import Method

__all__ = ["attachments_of", "forget_missing_files", "refuse_attachments", "with_files"]

METHODS = {"video_url": Method.VIDEO, "file": Method.PART}
"""By the form of a part."""


def attachments_of(prompt: Prompt) -> list[Attachment]:
    """List the files of a prompt that its model is shown as they are."""
    return [each for message in prompt.messages for each in message.attachments]


def refuse_attachments(attachments: Sequence[Attachment], model: Model, *, has_store: bool = True) -> None:
    """Check that a model is shown such files, and so many.

    Raises:
        AbilityMissing: it is not.
    """
    counts: Counter[FilePart] = Counter()
    for each in attachments:
        part = model.part_for(each.kind) if has_store else None
        if part is None:
            raise AbilityMissing(
                f"{model.name} is shown no file of kind {each.kind} as it is. Leave it out, or name a model that is "
                "(`status`, section models)."
            )
        counts[part] += 1
        if part.max_count is not None and counts[part] > part.max_count:
            raise AbilityMissing(
                f"{model.name} is shown at most {part.max_count} files in one request, and there are more. Leave some "
                "out."
            )


async def with_files(prompt: Prompt, shown: Shown, copies: AccountCopies, request: FileRequest) -> Shown:
    """Return how a request contains its files, after sending those that are not at the provider.

    Raises:
        AbilityMissing: the model is shown no such file.
        FileTooLargeForProvider, ProviderFilesFull: the provider does not take one; nothing was sent.
        FileUnreadable, CopyUnwanted: one was sent, and is deleted there again.
        ProviderFault: the provider failed, or refused.
        StoreFailed: what is there cannot be noted.
    """
    attachments = attachments_of(prompt)
    refuse_attachments(attachments, prompt.model)
    ids: dict[str, str] = {}
    sent = 0
    for each in attachments:
        part = prompt.model.part_for(each.kind)
        if part is not None and each.source.sha256 not in ids:
            method = METHODS[part.form]
            copy = await copies.copy(prompt.owner, each.source, part.purpose, method, request)
            ids[each.source.sha256] = copy.file_id
            sent += copy.was_sent
    return shown.with_files(ids, sent)


async def forget_missing_files(
    prompt: Prompt, shown: Shown, copies: AccountCopies, request: FileRequest
) -> bool:
    """Forget those files of a prompt that the provider no longer has; return whether there were any."""
    found = False
    for each in attachments_of(prompt):
        part, file_id = prompt.model.part_for(each.kind), shown.files.get(each.source.sha256)
        if part is not None and file_id is not None:
            found = await copies.forget_missing([file_id], part.purpose, request) or found
    return found
