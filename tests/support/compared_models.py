"""Calls of two models as a comparison keeps them, with a difference and a noise that are known."""

import math
import random
from collections.abc import Mapping
from typing import Any

from exai.cli.comparing.results import CallResult

__all__ = ["A", "B", "drawn_blocks"]

A, B = "glm-5.3", "kimi-k3"


def drawn_blocks(
    blocks: int, seed: int, *, slower: float = 1.0, noise: float = 0.35, drift: float = 0.3, **of_b: Any
) -> list[Mapping[str, CallResult]]:
    """Blocks whose second model takes `slower` times as long, with noise of each call and a drift of the day."""
    dice = random.Random(seed)
    found: list[Mapping[str, CallResult]] = []
    for number in range(blocks):
        day = 1 + drift * math.sin(number / blocks * 2 * math.pi)
        block = {}
        for model, factor in ((A, 1.0), (B, slower)):
            seconds = 2 * day * factor * dice.lognormvariate(0, noise)
            further = of_b if model == B else {}
            given = {
                "model_used": model,
                "input_tokens": 100,
                "output_tokens": 200,
                "cost_usd": 0.01,
                "effort": "high",
                "timings": {
                    "first_token_ms": seconds * 300,
                    "generation_ms": seconds * 650,
                    "processing_ms": 4.0,
                },
                **further,
            }
            block[model] = CallResult(number, model, seconds, seconds, given.pop("code", None), **given)
        found.append(block)
    return found
