"""Text of PDF documents, by PDFium. Imported by the extracting process alone."""

import pypdfium2

from exai.files.documents.child import run_child
from exai.files.documents.verdict import MOST_PAGES, Refused, TextSink, Verdict

__all__ = ["extract_pdf"]


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
        text = _page_text(document, number)
        if text:
            sink.text(text if text.endswith("\n") else text + "\n")
    cut = (
        f"the document has {pages:,} pages, of which {MOST_PAGES:,} were read" if pages > MOST_PAGES else None
    )
    return Verdict(pages=pages, cut=cut)


def _page_text(document: pypdfium2.PdfDocument, number: int) -> str:
    """Read one page; a broken one has no text, and keeps the others from nobody."""
    try:
        page = document[number]
        try:
            text = page.get_textpage().get_text_bounded()
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return ""
    return str(text).replace("\r\n", "\n").replace("\r", "\n")


if __name__ == "__main__":
    run_child(extract_pdf)
