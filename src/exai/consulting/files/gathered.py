"""What a call names as files, once it is read: texts, pictures, what models are shown as it is, what is not shown."""

from dataclasses import dataclass, field

from exai.consulting.files.provider_reading import UnreadDocument
from exai.consulting.files.text_items import TextItem
from exai.messages import Attachment, Image

__all__ = ["AttachedItem", "Gathered", "LeftOut"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was named, and is not shown."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class AttachedItem:
    """A file that a model is shown as it is."""

    id: str
    """What the model calls it, as `E3`."""
    sha256: str
    attachment: Attachment


@dataclass(slots=True)
class Gathered:
    """What a call names as files."""

    texts: list[TextItem] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: list[UnreadDocument] = field(default_factory=list)
    """Documents of which it is decided how they are shown once it is known which model answers."""
    attached: list[AttachedItem] = field(default_factory=list)
    """Files that a model is shown as they are."""
    numbered_after: int = 0
    """How many ids were given to what the question shows by itself."""

    def next_id(self) -> str:
        """Return the id of what is added next."""
        return f"E{self.numbered_after + len(self.texts) + len(self.attached) + 1}"

    def copy(self) -> "Gathered":
        """Return the same, to which something can be added for one model."""
        return Gathered(
            texts=[*self.texts],
            images=[*self.images],
            left_out=[*self.left_out],
            notes=[*self.notes],
            unread=[*self.unread],
            attached=[*self.attached],
            numbered_after=self.numbered_after,
        )
