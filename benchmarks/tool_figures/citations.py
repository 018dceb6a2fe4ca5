"""Citations that are true, shifted, in the wrong file, paraphrased and invented, by seed: what is made of them."""

import random
import time
from collections import Counter
from collections.abc import Sequence

from benchmarks.tool_figures.figure import Figure, Scale
from exai.workflows.citations import check
from support.citations import LIES, lies

__all__ = ["measure"]

WHOLE = 10_000
CORRECTABLE = {"shifted": "moved", "wrong file": "wrong_file"}
MOST_MS_PER_100 = 50.0


async def measure(scale: Scale) -> Sequence[Figure]:
    """Judge each by the two files that were shown."""
    count = scale.of(WHOLE)
    found: dict[str, Counter[str]] = {kind: Counter() for kind in LIES}
    began = time.process_time()
    for lie in lies(random.Random(scale.seed), count):
        found[lie.kind][check(lie.citation, lie.shown).state] += 1
    ms_per_100 = (time.process_time() - began) * 100_000 / count
    wrong = sum(number for kind in LIES for state, number in found[kind].items() if state not in LIES[kind])
    correctable = sum(sum(found[kind].values()) for kind in CORRECTABLE)
    corrected = sum(found[kind][state] for kind, state in CORRECTABLE.items())
    believed = sum(states["verified"] for kind, states in found.items() if kind != "true")
    return [
        Figure(
            what=f"of {count:,} citations: misjudged; called verified though false",
            measured=f"{wrong}; {believed}",
            aim="0; 0",
            reached=wrong == believed == 0,
            details={kind: dict(states) for kind, states in found.items()},
        ),
        Figure(
            what="shifted or in the wrong file: corrected",
            measured=f"{corrected:,} of {correctable:,}",
            aim="all",
            reached=corrected == correctable,
        ),
        Figure(
            what="CPU for 100 citations",
            measured=f"{ms_per_100:.1f} ms",
            aim=f"{MOST_MS_PER_100:g} ms",
            reached=ms_per_100 <= MOST_MS_PER_100,
        ),
    ]
