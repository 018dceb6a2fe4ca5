"""Who investigates, and who is asked to refute: the two models change places where the first is the suspect or away."""

import msgspec

__all__ = ["Candidate", "Nobody", "Roles", "choose_roles"]


class Candidate(msgspec.Struct, frozen=True):
    """A model as it stands now."""

    asked_for: str
    """The name in the settings."""
    name: str
    """By the catalogue."""
    provider: str
    why_not: str = ""
    """Why it cannot be asked now, as the end of a sentence; empty: it can."""
    ever: bool = True
    """Whether it can be asked later: false without a key."""


class Roles(msgspec.Struct, frozen=True):
    """Who is asked."""

    investigator: Candidate
    second: Candidate | None
    no_second: str = ""
    """Why there is no second opinion."""


class Nobody(msgspec.Struct, frozen=True):
    """None of the two can be asked."""

    why: str
    """As a sentence."""
    ever: bool
    """Whether one may be, later."""


def choose_roles(first: Candidate, second: Candidate, suspect: str | None) -> Roles | Nobody:
    """Give the roles to those who can be asked.

    Args:
        suspect: the provider that the group concerns; its models do not investigate where another can.
    """
    order = [second, first] if suspect == first.provider and second.provider != suspect else [first, second]
    able = [each for each in order if not each.why_not]
    if not able:
        told = "; ".join(f"{each.name} {each.why_not}" for each in order)
        return Nobody(f"Nobody can be asked: {told}.", any(each.ever for each in order))
    if len(able) == 1:
        away = next(each for each in order if each.why_not)
        return Roles(able[0], None, f"{away.name} {away.why_not}")
    if able[0].provider == able[1].provider and able[0].name == able[1].name:
        return Roles(able[0], None, "both settings name the same model, which is no judge of itself")
    return Roles(able[0], able[1])
