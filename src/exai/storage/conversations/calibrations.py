"""Rows of token calibrations: per model, how its provider's counts compare with our estimates."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from exai.storage.database import Database
from exai.storage.dialects import insert_if_absent
from exai.storage.schema import token_calibrations
from exai.storage.write_operations import LockGroup, all_at_once

__all__ = ["Calibration", "CalibrationTable"]

MEMORY = 0.98
"""What an observation still weighs when the next one has come: the last fifty or so decide."""

PRIOR_TOKENS = 1_000.0
"""How many tokens without an error are taken for granted, so that a first short prompt decides nothing."""

FACTORS = (0.25, 4.0)
"""Between these; beyond, something else is counted than the prompt."""


class Calibration(msgspec.Struct, frozen=True):
    """What was learnt about one model. All but `samples` are sums in which older observations weigh less."""

    samples: int = 0
    estimated: float = 0.0
    """Tokens by script alone."""
    reported: float = 0.0
    """Tokens of the same prompts as the provider counted them."""
    error: float = 0.0
    """Relative errors of the estimates, corrected by what was known when they were made."""
    weight: float = 0.0
    """Observations."""

    def then(self, later: "Calibration") -> "Calibration":
        """Combine this with what was observed after it."""
        kept = MEMORY**later.samples
        return Calibration(
            samples=self.samples + later.samples,
            estimated=self.estimated * kept + later.estimated,
            reported=self.reported * kept + later.reported,
            error=self.error * kept + later.error,
            weight=self.weight * kept + later.weight,
        )

    @property
    def factor(self) -> float:
        """The factor that corrects an estimate."""
        low, high = FACTORS
        return min(high, max(low, (self.reported + PRIOR_TOKENS) / (self.estimated + PRIOR_TOKENS)))

    @property
    def mean_error(self) -> float | None:
        """The mean relative error of the latest estimates; `None` before the first observation."""
        return self.error / self.weight if self.weight else None


class CalibrationTable:
    """Reads all rows, and adds to them; several daemons may add to one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, Calibration]:
        """Read every row, by model."""
        return await self._database.read(
            lambda connection: {row[0]: Calibration(*row[1:]) for row in connection.execute(_ALL)}
        )

    def add_soon(self, model: str, observed: Calibration, at: datetime) -> None:
        """Queue an addition to a model's row."""
        self._database.write_soon(_add, (model, observed, at))


_columns = token_calibrations.c
_ALL = select(
    _columns.model,
    _columns.samples,
    _columns.estimated,
    _columns.reported,
    _columns.error,
    _columns.weight,
)
_KNOWN = _ALL.where(_columns.model.in_(bindparam("of_models", expanding=True)))
_SET = (
    update(token_calibrations)
    .where(_columns.model == bindparam("of_model"))
    .values({name: bindparam(name) for name in (*Calibration.__struct_fields__, "updated_at")})
)
_CREATE = insert_if_absent(token_calibrations)


@all_at_once(LockGroup.CALIBRATIONS)
def _add(connection: Connection, many: list[tuple[str, Calibration, datetime]]) -> None:
    at = max(at for _, _, at in many)
    models = sorted({model for model, _, _ in many})
    nothing = {**msgspec.structs.asdict(Calibration()), "updated_at": at}
    _CREATE.execute(connection, [{"model": model, **nothing} for model in models])
    rows = {row[0]: Calibration(*row[1:]) for row in connection.execute(_KNOWN, {"of_models": models})}
    for model, observed, _ in many:
        rows[model] = rows[model].then(observed)
    connection.execute(
        _SET,
        [{"of_model": model, **msgspec.structs.asdict(row), "updated_at": at} for model, row in rows.items()],
    )
