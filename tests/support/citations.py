"""Citations that are true, shifted, in the wrong file, paraphrased or invented, by seed."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exai.workflows.citations import Citation, ShownFile

__all__ = ["LIES", "Lie", "lies"]

WORDS = (
    "buffer", "cursor", "ledger", "window", "parser", "socket", "packet", "branch", "handle", "digest",
    "queue", "frame", "token", "shard", "lease", "probe", "patch", "index", "batch", "route",
)  # fmt: skip

LIES: Mapping[str, frozenset[str]] = {
    "true": frozenset({"verified"}),
    "shifted": frozenset({"moved"}),
    "wrong file": frozenset({"wrong_file"}),
    "paraphrased": frozenset({"near", "unverified"}),
    "invented": frozenset({"unverified"}),
}
"""What each kind is found to be."""


@dataclass(frozen=True)
class Lie:
    kind: str
    citation: Citation
    shown: tuple[ShownFile, ...]


def lies(source: random.Random, count: int) -> Iterator[Lie]:
    """Make that many of all kinds, ten about the same two files."""
    for number in range(count):
        if number % 10 == 0:
            texts = [_file(source, f"f{number}_{which}") for which in range(2)]
            shown = tuple(
                ShownFile([f"E{which}"], f"src/f{number}_{which}.py", list(enumerate(lines, 1)))
                for which, lines in enumerate(texts, 1)
            )
        kind = tuple(LIES)[number % len(LIES)]
        yield Lie(kind, _citation(source, kind, texts, shown), shown)


def _file(source: random.Random, name: str) -> list[str]:
    """Lines of which each stands once."""
    return [
        f"    {source.choice(WORDS)}_{place} = {source.choice(WORDS)}.{name}_{place}({source.randrange(1000)})"
        for place in range(60)
    ]


def _citation(
    source: random.Random, kind: str, texts: Sequence[list[str]], shown: Sequence[ShownFile]
) -> Citation:
    at, size = source.randrange(50), source.randrange(1, 4)
    lines = [line.strip() for line in texts[0][at : at + size]]
    first, last, quote = at + 1, at + size, "\n    ".join(lines)
    if kind == "shifted":
        return Citation(shown[0].path, first + 5, last + 5, quote)
    if kind == "wrong file":
        return Citation(shown[1].path, first, last, quote)
    if kind == "paraphrased":
        return Citation(shown[0].path, first, last, quote.replace("(", "_(", 1))
    if kind == "invented":
        return Citation(shown[0].path, first, last, f"{source.choice(WORDS)}.never_{at}_written()")
    return Citation(shown[0].path, first, last, quote)
