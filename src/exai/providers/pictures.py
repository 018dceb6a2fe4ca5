"""Fits the pictures of a prompt to its model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from exai.errors import AbilityMissing
from exai.files.pictures.work import PictureWork
from exai.messages import Image
from exai.providers.base import Prompt
from exai.providers.catalog import Model

__all__ = ["NO_PICTURES", "Shown", "fit_pictures", "pictures_of", "refuse_too_much"]


@dataclass(frozen=True, slots=True)
class Shown:
    """How a request contains its pictures and files."""

    urls: Mapping[str, str] = field(default_factory=dict)
    """The URL of each picture that was uploaded, by its digest; the others are inside the request."""
    notes: tuple[str, ...] = ()
    """How they were changed, as sentences for the caller."""
    uploaded: int = 0
    """How many pictures and files were uploaded for this request."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The provider's id of each file that is shown as it is, by its digest."""

    def with_files(self, files: Mapping[str, str], uploaded: int) -> "Shown":
        """Return a copy with files, of which some were uploaded for this request."""
        return replace(self, files=files, uploaded=self.uploaded + uploaded)

    def with_notes(self, notes: tuple[str, ...]) -> "Shown":
        """Return a copy with further notes before its own."""
        return replace(self, notes=notes + self.notes)


NO_PICTURES = Shown()


def pictures_of(prompt: Prompt) -> list[Image]:
    """List all pictures of a prompt, in order."""
    return [image for message in prompt.messages for image in message.images]


async def fit_pictures(prompt: Prompt, work: PictureWork) -> tuple[Prompt, tuple[str, ...]]:
    """Fit a prompt's pictures to its model, and describe the changes.

    Raises:
        AbilityMissing: the model accepts no pictures, or fewer.
        FileRefused: a picture cannot be made to fit.
    """
    model = prompt.model
    count = len(pictures_of(prompt))
    if count and not model.images:
        raise AbilityMissing(
            f"{model.name} takes no images. Leave them out, or name a model that takes them (`status`, section models)."
        )
    if count > model.pictures.max_count:
        raise AbilityMissing(
            f"{model.name} takes at most {model.pictures.max_count} images in one request, and there are {count}. "
            "Leave some out."
        )
    notes: list[str] = []
    messages = []
    number = 0
    for message in prompt.messages:
        images = []
        for image in message.images:
            number += 1
            fitted = await work.fit(prompt.owner, image, model.pictures, f"Image {number}")
            images.append(image if fitted is None else replace(fitted.image, file_owner=image.file_owner))
            if fitted is not None and fitted.change is not None:
                notes.append(f"Image {number} was changed for {_what_it_takes(model)}: {fitted.change}.")
        messages.append(msgspec.structs.replace(message, images=tuple(images)) if images else message)
    return msgspec.structs.replace(prompt, messages=tuple(messages)), tuple(notes)


def refuse_too_much(prompt: Prompt, shown: Shown) -> None:
    """Check the size of the pictures inside the request.

    Raises:
        AbilityMissing: they are too large.
    """
    model = prompt.model
    most = model.pictures.max_inside_bytes
    images = pictures_of(prompt)
    inside = sum(len(image.data) for image in images if not shown.urls or image.sha256 not in shown.urls)
    if inside > most:
        raise AbilityMissing(
            f"The images for {model.name} have {inside / 2**20:.0f} MB together, more than one request may hold "
            f"({most / 2**20:.0f} MB). Send fewer or smaller ones."
        )


def _what_it_takes(model: Model) -> str:
    limits = model.pictures
    kinds = ", ".join(kind.removeprefix("image/").upper() for kind in limits.types)
    return (
        f"{model.name}, which takes {kinds} of at most {limits.max_bytes / 2**20:g} MB and {limits.max_side} pixels "
        "a side"
    )
