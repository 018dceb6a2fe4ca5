"""Reads the text of one document, in a process: `python reading.py KIND FROM TO`.

The libraries are those of the extra `exai[emulator]`, and others than the product reads documents with. The exit code
is 0 when the text stands in TO; else the reason is the last line of standard error.
"""

import importlib
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["main"]

_MEMORY_BYTES = 3 * 1024**3
_CPU_S = 240


def _pdf(file: BinaryIO) -> Iterator[str]:
    """Lines of each page; of a page without text only that it would have to be recognised."""
    reader = importlib.import_module("pypdf").PdfReader(file)
    for number, page in enumerate(reader.pages, 1):
        text = page.extract_text()
        yield (
            text.strip("\n") if text.strip() else f"[emulated recognition of page {number}: it holds no text]"
        )


def _docx(file: BinaryIO) -> Iterator[str]:
    document = importlib.import_module("docx").Document(file)
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            yield from _table(block)
        else:
            yield block.text


def _xlsx(file: BinaryIO) -> Iterator[str]:
    book = importlib.import_module("openpyxl").load_workbook(file, read_only=True, data_only=True)
    for sheet in book.worksheets:
        yield f"## {sheet.title}"
        for row in sheet.iter_rows(values_only=True):
            yield " | ".join("" if cell is None else str(cell) for cell in row)


def _pptx(file: BinaryIO) -> Iterator[str]:
    deck = importlib.import_module("pptx").Presentation(file)
    for number, slide in enumerate(deck.slides, 1):
        yield f"## Slide {number}"
        for shape in slide.shapes:
            if shape.has_text_frame:
                yield shape.text_frame.text
            elif shape.has_table:
                yield from _table(shape.table)


def _table(table: Any) -> Iterator[str]:
    for row in table.rows:
        yield " | ".join(cell.text for cell in row.cells)


_READERS: dict[str, Callable[[BinaryIO], Iterator[str]]] = {
    "pdf": _pdf,
    "docx": _docx,
    "xlsx": _xlsx,
    "pptx": _pptx,
}


def main(arguments: list[str]) -> int:
    """Read the document, and return the exit code."""
    kind, source, target = arguments
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    try:
        with (
            Path(source).open("rb") as file,
            Path(target).open("w", encoding="utf-8", errors="replace", newline="\n") as text,
        ):
            text.writelines(piece + "\n" for piece in _READERS[kind](file))
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error.name} is missing, which pip install 'exai[emulator]' brings\n")
        return 2
    except Exception as error:  # noqa: BLE001 - whatever a library makes of a broken document
        sys.stderr.write(f"{type(error).__name__}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
