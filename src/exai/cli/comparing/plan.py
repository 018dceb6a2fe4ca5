"""The plan of a comparison, which is written before anything is asked, and from which an interrupted one goes on.

A block is one prompt, asked of every model, in an order that is drawn. What disturbs a machine or a provider for a
while disturbs all models of the blocks in it, so blocks are what is compared, and counted.
"""

import hashlib
import random
from collections.abc import Sequence

import msgspec

__all__ = ["BUILT_IN", "BURST", "AnswerOptions", "Block", "Plan", "make_plan", "prompt_of"]

_FUNCTION = "def f(xs):\n    total = 0\n    for x in xs:\n        total += x\n    return total\n\n"
_WINDS = ("north", "east", "south", "west")
_NOTES = "\n".join(
    f"Note {n}: on day {n} the water stood {n % 7 + 2} cm above the mark, {n % 5} herons were seen, the wind "
    f"came from the {_WINDS[n % 4]}, and the boat was {('in', 'out')[n % 2]}."
    for n in range(1, 121)
)
BUILT_IN = (
    "Name three birds that live at lakes.",
    "Explain in one paragraph why a hash table finds a key in constant time on average.",
    f"Here are functions:\n\n{_FUNCTION * 8}Say what could be shorter, and rewrite it.",
    f"Read these notes and sum them up in five lines:\n\n{_NOTES}",
)
"""Four sizes, from a line to about four thousand tokens."""

BURST = 0
"""The level of blocks that are sent at once."""


class Block(msgspec.Struct, frozen=True):
    """One prompt for every model."""

    number: int
    prompt: int
    """Its place in the plan's prompts."""
    level: int
    """How many calls are meant to run at a time; 0: all of the burst at once."""
    order: tuple[str, ...]
    """The models, as they are asked."""
    gaps: tuple[float, ...]
    """Before each of these calls, in means of the level's arrivals."""


class AnswerOptions(msgspec.Struct, frozen=True):
    """What is asked of every model alike."""

    max_tokens: int = 400
    temperature: float | None = None
    """`None`, here and below: each model's own."""
    effort: str | None = None


class Plan(msgspec.Struct, frozen=True):
    """Everything that is drawn."""

    seed: int
    models: tuple[str, ...]
    answers: AnswerOptions
    prompts: tuple[str, ...]
    """SHA-256 of each."""
    blocks: tuple[Block, ...]
    """By level, in the order in which they are sent."""


def make_plan(
    models: Sequence[str],
    prompts: Sequence[str],
    *,
    blocks: int,
    levels: Sequence[int],
    burst: int,
    seed: int,
    answers: AnswerOptions,
) -> Plan:
    """Draw a plan; the same arguments give the same.

    Args:
        models: that are compared.
        prompts: of which each block takes one, all about as often.
        blocks: how many, shared out to the levels.
        levels: of concurrency.
        burst: how many further blocks are sent at once, at the end.
        seed: of what is drawn.
        answers: the same for every model.
    """
    dice = random.Random(seed)  # noqa: S311 - what is asked when is no secret
    drawn: list[Block] = []
    shares = [
        (level, blocks * (at + 1) // len(levels) - blocks * at // len(levels))
        for at, level in enumerate(levels)
    ]
    for level, count in [*shares, (BURST, burst)]:
        places = [place % len(prompts) for place in range(count)]
        dice.shuffle(places)
        for place in places:
            order = dice.sample(list(models), len(models))
            gaps = tuple(0.0 if level == BURST else dice.expovariate(1.0) for _ in models)
            drawn.append(Block(len(drawn) + 1, place, level, tuple(order), gaps))
    digests = tuple(hashlib.sha256(prompt.encode()).hexdigest() for prompt in prompts)
    return Plan(seed, tuple(models), answers, digests, tuple(drawn))


def prompt_of(plan: Plan, block: Block, model: str, prompts: Sequence[str]) -> str:
    """Return what a model is asked: with a first line that no earlier prompt had, against caches of prefixes."""
    digest = hashlib.sha256(f"{plan.seed}/{block.number}/{model}".encode()).hexdigest()[:12]
    return f"[{digest}]\n{prompts[block.prompt]}"
