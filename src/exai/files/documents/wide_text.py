"""Text in UTF-16 or UTF-32, as UTF-8. Imported by the extracting process alone."""

import codecs

from exai.files.documents.child import run_child
from exai.files.documents.verdict import Refused, TextSink, Verdict

__all__ = ["extract_wide"]

BLOCK_BYTES = 2**20


def extract_wide(data: bytes, sink: TextSink) -> Verdict:
    """Write a text in the encoding that its byte order mark names.

    Raises:
        Refused: it breaks off, or is not in that encoding.
        Cut: the bound of the text is reached.
    """
    is_32 = data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))
    decoder = codecs.getincrementaldecoder("utf-32" if is_32 else "utf-16")()
    try:
        for start in range(0, len(data), BLOCK_BYTES):
            sink.text(decoder.decode(data[start : start + BLOCK_BYTES]))
        sink.text(decoder.decode(b"", final=True))
    except UnicodeDecodeError:
        raise Refused("damaged") from None
    return Verdict()


if __name__ == "__main__":
    run_child(extract_wide)
