"""What models answer about lines of large files: from the content, or with the limit that stands against it.

Texts, PDF and DOCX of 1 kB to 60 MB are stored, and both emulated providers asked for line 3 and the last line. The
emulated model answers from nothing but what it is shown and what the reading tools return, so an answer with another
line was made up by what lies between.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.calls import ROOT
from benchmarks.figures import keep
from exai import config
from exai.errors import ExaiError
from exai.storage.database import Database
from exai_emulator import EmulatorOptions, running
from exai_emulator.personas import Persona
from support.consulted_files import Talk
from support.desks import make_desk
from support.documents import docx_of, numbered, pdf_of

MODELS = ("glm-5.3", "kimi-k3")
QUESTION = "What is line 3? What is the last line?"
SIZES = {"1 kB": 10**3, "1 MB": 10**6, "7 MB": 7 * 10**6, "60 MB": 60 * 10**6}
LINE_BYTES = 24
DOCUMENT_LINES = 4_000
"""Of a document at most: what is missing to its size is a picture."""
ALL_TEXT_LINES = 1_500_000
"""Of a PDF with more text than is read of one."""


def _files() -> Iterator[tuple[str, str, Sequence[str], bytes]]:
    """Each file: its size, form, lines and content."""
    for name, size in SIZES.items():
        lines = numbered(max(4, size // LINE_BYTES))
        yield name, "txt", lines, ("\n".join(lines) + "\n").encode()
        few = lines[:DOCUMENT_LINES]
        padding = max(0, size - len(few) * LINE_BYTES * 2)
        yield name, "pdf", few, pdf_of(few, padding=padding)
        yield name, "docx", few, docx_of(few, padding=padding)
    lines = numbered(ALL_TEXT_LINES)
    yield "all text", "pdf", lines, pdf_of(lines)
    yield "all text", "docx", lines, docx_of(lines)


async def _judged(talk: Talk, handle: str, form: str, lines: Sequence[str], model: str) -> str:
    """How a question was answered."""
    try:
        consultation = await talk.ask(handle, model=model, question=QUESTION)
    except ExaiError as fault:
        return f"refused: {fault}"
    text = consultation.completion.text
    # The text of a PDF begins with a line `[page 1]`.
    third, last = lines[1] if form == "pdf" else lines[2], lines[-1]
    if third in text and last in text:
        return "from the content"
    said = [note for shown in consultation.material.notes for note in (str(shown),)]
    return f"line 3 {'right' if third in text else 'wrong'}, last line not: {text[-200:]!r}; notes: {said}"


async def _measure(place: Path) -> list[dict[str, Any]]:
    database = await Database.open(config.Database(), place / "database")
    results: list[dict[str, Any]] = []
    try:
        async with running(EmulatorOptions()) as emulator:
            emulator.persona = Persona("reader")
            desk = make_desk(emulator)
            talk = Talk(database, place, desk)
            for size, form, lines, content in _files():
                handle = await talk.put(f"ledger.{form}", content)
                for model in MODELS:
                    began = time.process_time()
                    judged = await _judged(talk, handle, form, lines, model)
                    row = {
                        "size": size,
                        "form": form,
                        "bytes": len(content),
                        "lines": len(lines),
                        "model": model,
                        "answer": judged,
                        "cpu_s": round(time.process_time() - began, 2),
                    }
                    results.append(row)
                    print(
                        f"{size:<9} {form:<5} {len(content):>11,} B  {model:<8} {row['cpu_s']:>6} s  {judged}",
                        flush=True,
                    )
            await desk.router.close()
    finally:
        await database.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench files-lines", description=__doc__)
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "benchmarks/results/files_lines.json",
        help="where the result goes",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        results = asyncio.run(_measure(Path(place)))
    answered = sum(row["answer"] == "from the content" for row in results)
    print(f"\n{answered} of {len(results)} from the content, at a load of {os.getloadavg()[0]:.0f}")
    keep({"results": results}, options.json)


if __name__ == "__main__":
    main()
