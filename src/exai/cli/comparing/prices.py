"""What a plan may cost at most, from what the running daemon says of its models."""

from collections.abc import Sequence
from typing import Any

import msgspec

from exai.cli.comparing.plan import Plan
from exai.client.connection import Session
from exai.conversations.estimates import estimate_tokens
from exai.errors import StartFault

__all__ = ["AskedModel", "estimated_usd", "look_up"]

REPORT = "exai/report"


class AskedModel(msgspec.Struct, frozen=True):
    """A model as the daemon has it."""

    name: str
    provider: str
    input_usd: float | None
    """For a million tokens; `None`: no price is known."""
    output_usd: float | None


async def look_up(session: Session, names: Sequence[str]) -> list[AskedModel]:
    """Find models, and see that they can be asked.

    Raises:
        StartFault: there is none of a name, or its provider has no key.
    """
    return [await _found(session, name) for name in names]


async def _found(session: Session, name: str) -> AskedModel:
    answer = await session.call("models", {"model": name})
    if answer.is_error:
        raise StartFault(
            f"The daemon cannot say what {ascii(name)[:80]} is; `exai models` lists models. {answer.text}"
        )
    report: dict[str, Any] = answer.meta.get(REPORT) or {}
    for provider in report.get("providers", ()):
        for model in provider["models"]:
            if not provider["configured"]:
                raise StartFault(
                    f"{provider['name']} has no key here, so {model['name']} cannot be asked; `exai doctor` says how "
                    "to set one."
                )
            price = model.get("price_usd_per_million") or {}
            return AskedModel(model["name"], provider["name"], price.get("input"), price.get("output"))
    raise StartFault(f"The daemon knows no model {ascii(name)[:80]}; `exai models` lists them.")


def estimated_usd(
    plan: Plan, models: Sequence[AskedModel], prompts: Sequence[str]
) -> tuple[float, list[str]]:
    """Return what a plan costs if every answer is as long as it may be, and the models whose price is unknown."""
    tokens = [estimate_tokens(prompt) for prompt in prompts]
    asked = sum(tokens[block.prompt] for block in plan.blocks)
    usd, unknown = 0.0, []
    for model in models:
        if model.input_usd is None or model.output_usd is None:
            unknown.append(model.name)
            continue
        usd += (asked * model.input_usd + len(plan.blocks) * plan.answers.max_tokens * model.output_usd) / 1e6
    return usd, unknown
