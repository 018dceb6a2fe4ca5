"""Text of PDF documents, by PDFium. Imported by the extracting process alone."""

import ctypes
from collections.abc import Iterator

import pypdfium2
from pypdfium2 import raw

from exai.files.documents.child import run_child
from exai.files.documents.verdict import MOST_PAGES, Refused, TextSink, Verdict

__all__ = ["extract_pdf"]

MOST_COMMENTS = 1_000
"""Of a page."""
_SILENT = frozenset({raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_POPUP})
"""Annotations that say nothing of their own: links, fields of forms, and the windows of comments."""


def extract_pdf(data: bytes, sink: TextSink) -> Verdict:
    """Write the text of each page behind its mark.

    Raises:
        Refused: it is encrypted, or no PDF that can be read.
        Cut: the bound of the text is reached.
    """
    try:
        document = pypdfium2.PdfDocument(data)
        pages = len(document)
    except pypdfium2.PdfiumError as error:
        raise Refused("encrypted" if "password" in str(error).casefold() else "damaged") from None
    for number in range(min(pages, MOST_PAGES)):
        sink.mark(f"page {number + 1}")
        text, comments = _page_text(document, number)
        if text:
            sink.text(text if text.endswith("\n") else text + "\n")
        if comments:
            sink.mark(f"comments of page {number + 1}")
            sink.beside("".join(f"{comment}\n" for comment in comments))
    cut = (
        f"the document has {pages:,} pages, of which {MOST_PAGES:,} were read" if pages > MOST_PAGES else None
    )
    return Verdict(pages=pages, cut=cut)


def _page_text(document: pypdfium2.PdfDocument, number: int) -> tuple[str, list[str]]:
    """Read one page and its comments; a broken one has no text, and keeps the others from nobody."""
    try:
        page = document[number]
        try:
            text = page.get_textpage().get_text_bounded()
            comments = list(_comments(page))
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return "", []
    return str(text).replace("\r\n", "\n").replace("\r", "\n"), comments


def _comments(page: pypdfium2.PdfPage) -> Iterator[str]:
    for number in range(min(raw.FPDFPage_GetAnnotCount(page), MOST_COMMENTS)):
        annotation = raw.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        try:
            if raw.FPDFAnnot_GetSubtype(annotation) not in _SILENT and (said := _said(annotation)):
                yield said
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _said(annotation: raw.FPDF_ANNOTATION) -> str:
    """Return what a comment says, in one line."""
    size = raw.FPDFAnnot_GetStringValue(annotation, b"Contents", None, 0)
    written = ctypes.create_string_buffer(size)
    as_wide = ctypes.cast(written, ctypes.POINTER(raw.FPDF_WCHAR))
    raw.FPDFAnnot_GetStringValue(annotation, b"Contents", as_wide, size)
    return " ".join(written.raw.decode("utf-16-le", "replace").replace("\0", "").split())


if __name__ == "__main__":
    run_child(extract_pdf)
