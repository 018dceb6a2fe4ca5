"""What an answer may cite of the files that a prompt showed."""

from exai.consulting.files.blocks import Block
from exai.workflows.citations import ShownFile, shown_lines

__all__ = ["shown_file"]


async def shown_file(block: Block) -> ShownFile:
    """Return what a model was shown of a file, or could read by tools."""
    item = block.item
    lines = shown_lines(block.text)
    if not block.is_whole:
        lines, at = [], item.first
        while at <= item.last and (read := await item.source.lines(at, item.last)):
            lines += enumerate(read, at)
            at += len(read)
    return ShownFile([item.id], item.name, lines)
