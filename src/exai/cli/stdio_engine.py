"""Builds and runs the engine of `exai stdio`, behind an opening that answers its client meanwhile."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from exai.app.daemon import run_stdio
from exai.cli.event_loop import run
from exai.cli.options import load_settings
from exai.client.credentials_file import read_credentials
from exai.config.client import TOKEN_VARIABLE, credentials_variable, token_variable
from exai.config.tree import secret_values
from exai.monitoring import logs
from exai.transports.opening import Opening

__all__ = ["run_engine"]


def run_engine(
    opening: Opening,
    config_file: Path | None,
    overrides: Sequence[str] | None,
    roots: Sequence[Path] | None,
    *,
    demo: bool,
) -> None:
    """Serve the client of `opening` until it ends.

    Raises:
        StartFault: a setting, the token or the database makes it impossible to start.
    """
    settings = load_settings(config_file, overrides, trust_cwd=False, demo=demo).settings
    files = settings.files
    widened = (*files.roots, *(root.absolute() for root in roots or ()), Path.cwd())
    settings = settings.model_copy(
        update={"files": files.model_copy(update={"roots": widened, "workspace": Path.cwd()})}
    )
    logs.configure(settings.logging, secrets=secret_values(settings))
    token, token_from = token_variable(), TOKEN_VARIABLE
    if token is None and (file := credentials_variable()) is not None:
        token, token_from = read_credentials(file).access_token, str(file)
    given = None if token is None else SecretStr(token)
    run(run_stdio(settings, demo=demo, opening=opening, token=given, token_from=token_from))
