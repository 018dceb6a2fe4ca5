"""Which stages are asked at the same time."""

from collections.abc import Iterable, Iterator
from typing import Any

from exai.workflows.definitions import AnyStage, Stage

__all__ = ["groups_of"]


def groups_of(stages: Iterable[AnyStage]) -> Iterator[list[Any]]:
    """Group stages that are asked at the same time; all others are alone."""
    group: list[AnyStage] = []
    for stage in stages:
        beside = stage.beside if isinstance(stage, Stage) else None
        if group and beside is not None and beside in {each.name for each in group}:
            group.append(stage)
            continue
        if group:
            yield group
        group = [stage]
    if group:
        yield group
