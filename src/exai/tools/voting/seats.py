"""Who votes, and who sums up."""

from collections.abc import Sequence
from typing import Any

import msgspec

from exai.errors import BadArguments, ProviderUnconfigured
from exai.providers.catalog import Model
from exai.routing.router import ModelRouter
from exai.tools.voting.votes import Seat, Stance

__all__ = ["LEAST_SEATS", "MOST_SEATS", "NamedSeat", "arbiter_for", "named_seats", "seats_for"]

LEAST_SEATS = 2
MOST_SEATS = 8

DEFAULT_SEATS = 3


class NamedSeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model that the caller wants to vote."""

    model: str
    stance: Stance = "neutral"
    stance_prompt: str = ""


def named_seats(given: Sequence[Any]) -> list[NamedSeat]:
    """Type the models that a caller names: each a name, or an object with a stance.

    Raises:
        BadArguments: one is neither.
    """
    seats = []
    for place, each in enumerate(given):
        try:
            seats.append(NamedSeat(each) if isinstance(each, str) else msgspec.convert(each, NamedSeat))
        except msgspec.ValidationError as error:
            raise BadArguments(
                f"Argument 'models[{place}]': {error}. Give a name, or an object with model, stance (for, against, "
                "neutral) and stance_prompt."
            ) from None
    return seats


def seats_for(router: ModelRouter, named: Sequence[NamedSeat], *, images: bool) -> tuple[Seat, ...]:
    """Return the seats of the models that were named; else the first of each family, and others up to three.

    Raises:
        BadArguments: there are too few or too many, or one twice.
        ToolFault: a model that was named cannot be asked.
    """
    if not named:
        return _default_seats(router, images=images)
    seats = tuple(_seat(router, each, images=images) for each in named)
    if not LEAST_SEATS <= len(seats) <= MOST_SEATS:
        raise BadArguments(
            f"Argument 'models': {len(seats)} given. Name {LEAST_SEATS} to {MOST_SEATS} models, or leave it out for "
            "the best of each family."
        )
    names = [seat.name for seat in seats]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadArguments(
            f"Argument 'models': {twice} is named twice, and would vote twice. Name another, or give each a stance."
        )
    return seats


def arbiter_for(router: ModelRouter, seats: Sequence[Seat], named: str | None) -> Model | None:
    """Return a model that sums up and did not vote; `None`: there is no other one.

    Raises:
        BadArguments: the one that was named votes.
        ToolFault: the one that was named cannot be asked.
    """
    voting = {seat.model.name for seat in seats}
    if named is not None:
        model = router.resolve(named).model
        if model.name in voting:
            raise BadArguments(
                f"Argument 'arbiter': {model.name} votes. Name a model that does not, or leave it out."
            )
        return model
    return next((model for model in router.askable if model.name not in voting), None)


def _seat(router: ModelRouter, named: NamedSeat, *, images: bool) -> Seat:
    model = router.resolve(named.model, images=images).model
    return Seat(model, router.family(model), named.stance, named.stance_prompt.strip())


def _default_seats(router: ModelRouter, *, images: bool) -> tuple[Seat, ...]:
    able = [model for model in router.askable if model.images or not images]
    first_of_family: dict[str, Model] = {}
    for model in able:
        first_of_family.setdefault(router.family(model), model)
    chosen = list(first_of_family.values())[:DEFAULT_SEATS]
    chosen += [model for model in able if model not in chosen][: DEFAULT_SEATS - len(chosen)]
    if len(chosen) < LEAST_SEATS:
        raise ProviderUnconfigured(
            "A vote needs two models, and fewer can be asked here. Set a key for another provider (GLM_API_KEY, "
            "KIMI_API_KEY), or ask one model by `chat`."
        )
    return tuple(Seat(model, router.family(model)) for model in chosen)
