"""A review in the format that the command was asked for."""

import msgspec

from exai.cli.reviewing.annotations import annotations_of
from exai.cli.reviewing.choices import Wanted
from exai.cli.reviewing.page import page_of
from exai.cli.reviewing.review_answer import ReviewAnswer
from exai.workflows.review.sarif import sarif_of

__all__ = ["written"]


def written(review: ReviewAnswer, wanted: Wanted, *, colours: bool) -> str:
    """Write a review; `colours` is for people at a terminal."""
    match wanted.format:
        case "json":
            return msgspec.json.format(msgspec.json.encode(review), indent=2).decode() + "\n"
        case "sarif":
            notes = [note for note in (review.answer, *review.notes) if note]
            return sarif_of(review.findings, kind=wanted.kind, notes=notes).decode()
        case "github":
            return annotations_of(review.findings, review.notes)
        case "text":
            return page_of(review, colours=colours)
