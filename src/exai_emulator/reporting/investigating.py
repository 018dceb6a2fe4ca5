"""The persona that looks for the cause of a fault: what it cites it takes from the evidence that it is shown."""

import json
import re
from typing import Any, Literal, NamedTuple

__all__ = ["Conduct", "investigated", "is_investigation"]

Conduct = Literal["honest", "misquotes", "misplaces", "invents", "prose", "insatiable", "refutes"]
"""What an investigator does: quotes what stands there; other words than those; at other lines; evidence and files that
are not there; no object; always asks for more; as a second opinion refutes what it is shown."""

LEAST_QUOTE = 8
QUOTED = 200

_EVIDENCE = re.compile(
    r"<<<(?P<boundary>[0-9a-f]{16}) (?P<id>e[0-9.]+) [^|\n]*\| (?P<place>[^\n]*) \| \w+>>>\n"
    r"(?P<text>.*?)\n<<<(?P=boundary) end (?P=id)>>>",
    re.DOTALL,
)
_NUMBERED = re.compile(r" *(\d+)│(.*)")
_FIRST = "# Investigation of a fault"
_SECOND = "# Second opinion on a fault"


class _Quote(NamedTuple):
    evidence: str
    words: str
    place: str


def is_investigation(prompt: str) -> bool:
    """Whether a prompt asks for the cause of a fault, or for an opinion on one."""
    return prompt.startswith((_FIRST, _SECOND))


def investigated(conduct: Conduct, prompt: str) -> str:
    """Answer such a prompt as a JSON object, or in another way if the conduct says so."""
    if conduct == "prose":
        return "The cause is surely somewhere in the code; look there."
    if conduct == "insatiable":
        return json.dumps({"further": [{"kind": "log", "place": "60"}]})
    quotes = [_changed(conduct, quote) for quote in _quotes(prompt)]
    cited = [_citation(quote) for quote in quotes]
    if prompt.startswith(_SECOND):
        verdict = "refutes" if conduct == "refutes" else "confirms"
        return json.dumps({"verdict": verdict, "why": f"The evidence {verdict} it.", "citations": cited[:1]})
    chain = [
        {"who": "own code", "text": f"What {quote.evidence} shows happened.", "citations": [citation]}
        for quote, citation in zip(quotes, cited, strict=True)
    ]
    report: dict[str, Any] = {
        "cause": f"The emulator says: {quotes[0].words}" if quotes else "The emulator was shown no evidence.",
        "chain": chain or [{"who": "own code", "text": "nothing is known", "citations": []}],
        "fix": {"kind": "step", "text": "Look at what is cited."},
        "would_decide": "a model in the place of the emulator",
    }
    return json.dumps({"report": report})


def _quotes(prompt: str) -> list[_Quote]:
    """Quote a line of the first piece, and one of the first file that is shown."""
    found: list[_Quote] = []
    for piece in _EVIDENCE.finditer(prompt):
        quote = _quote(piece)
        if quote is not None and (not found or (quote.place and not any(each.place for each in found))):
            found.append(quote)
    return found


def _quote(piece: re.Match[str]) -> _Quote | None:
    for line in piece["text"].split("\n"):
        numbered = _NUMBERED.fullmatch(line)
        words = (numbered[2] if numbered else line).strip()
        if len(words) >= LEAST_QUOTE:
            path = re.match(r"[^\s:]+(?=:\d)", piece["place"])
            place = f"{path[0]}:{numbered[1]}" if numbered and path else ""
            return _Quote(piece["id"], words[:QUOTED], place)
    return None


def _changed(conduct: Conduct, quote: _Quote) -> _Quote:
    """Make a quote as false as a conduct says."""
    if conduct == "misquotes":
        return quote._replace(words=f"{quote.words[:-1]}~ never said")
    if conduct == "misplaces":
        return quote._replace(place="src/elsewhere.py:1")
    if conduct == "invents":
        return _Quote("e99", quote.words, "src/ghost.py:13")
    return quote


def _citation(quote: _Quote) -> dict[str, str]:
    return {"evidence": quote.evidence, "quote": quote.words, "place": quote.place}
