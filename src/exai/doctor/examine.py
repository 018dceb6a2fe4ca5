"""Everything the doctor looks at, in order."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from exai.config.sources import Loaded
from exai.doctor.findings import Finding, problem
from exai.doctor.identity import look_at_credentials, look_at_issuers, look_at_tokens
from exai.doctor.machine import look_at_data_folder, look_at_keys, look_at_settings
from exai.doctor.ports import look_at_ports
from exai.doctor.services import look_at_database, look_at_providers
from exai.runtime.clock import Clock

__all__ = ["examine"]

_log = structlog.get_logger(__name__)


async def examine(
    loaded: Loaded, clock: Clock, *, offline: bool, credentials: Path | None = None
) -> list[Finding]:
    """Look at everything; `offline` leaves out what asks other machines, `credentials` is the file of this user."""
    looks: list[tuple[str, Callable[[Loaded], Awaitable[list[Finding]]]]] = [
        ("settings", look_at_settings),
        ("keys", look_at_keys),
        ("data folder", look_at_data_folder),
        ("database", partial(look_at_database, clock=clock)),
        ("ports", look_at_ports),
        ("tokens", partial(look_at_tokens, clock=clock)),
        ("credentials", lambda _: look_at_credentials(credentials, clock)),
    ]
    if not offline:
        looks += [
            ("issuers", partial(look_at_issuers, clock=clock)),
            ("providers", partial(look_at_providers, clock=clock)),
        ]
    findings: list[Finding] = []
    for name, look in looks:
        try:
            findings += await look(loaded)
        except Exception as error:  # noqa: BLE001 - one look that fails must not hide the others
            _log.debug("a look of the doctor failed", look=name, exc_info=error)
            findings.append(
                problem(
                    name,
                    f"could not be looked at ({type(error).__name__})",
                    "See `--set logging.level=debug`.",
                )
            )
    return findings
