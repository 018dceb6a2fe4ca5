"""Runs all checks, in order."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from exai.cli.doctor.files import (
    check_bucket,
    check_dead_jobs,
    check_file_store,
    check_secret_check,
    check_stored_files,
)
from exai.cli.doctor.findings import Finding, problem
from exai.cli.doctor.identity import check_credentials, check_issuers, check_tokens
from exai.cli.doctor.machine import check_data_folder, check_keys, check_languages, check_settings
from exai.cli.doctor.ports import check_ports
from exai.cli.doctor.services import check_database, check_providers
from exai.config.sources import Loaded
from exai.runtime.clock import Clock

__all__ = ["run_checks"]

_log = structlog.get_logger(__name__)


async def run_checks(
    loaded: Loaded, clock: Clock, *, offline: bool, credentials: Path | None = None
) -> list[Finding]:
    """Run every check.

    Args:
        loaded: the settings.
        clock: reads this machine's time.
        offline: leave out the checks that ask other machines.
        credentials: the credentials file of this user, if there is one.
    """
    checks: list[tuple[str, Callable[[Loaded], Awaitable[list[Finding]]]]] = [
        ("settings", check_settings),
        ("keys", check_keys),
        ("data folder", check_data_folder),
        ("file store", check_file_store),
        ("database", partial(check_database, clock=clock)),
        ("stored files", check_stored_files),
        ("secret scan", check_secret_check),
        ("languages", check_languages),
        ("jobs", check_dead_jobs),
        ("ports", check_ports),
        ("tokens", partial(check_tokens, clock=clock)),
        ("credentials", lambda _: check_credentials(credentials, clock)),
    ]
    if not offline:
        checks += [
            ("issuers", partial(check_issuers, clock=clock)),
            ("providers", partial(check_providers, clock=clock)),
            ("file store", check_bucket),
        ]
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings += await check(loaded)
        except Exception as error:  # noqa: BLE001 - a check that fails must not hide the others
            _log.debug("a check of the doctor failed", check=name, exc_info=error)
            findings.append(
                problem(
                    name,
                    f"could not be checked ({type(error).__name__})",
                    "See `--set logging.level=debug`.",
                )
            )
    return findings
