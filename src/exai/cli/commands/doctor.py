"""`exai doctor`: problems of the set-up, and how to fix them."""

import asyncio
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.doctor.checks import run_checks
from exai.cli.doctor.findings import as_document, as_text, is_ok, problem
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.config import client as config_client
from exai.config.tree import secret_values
from exai.errors import StartFault
from exai.monitoring import logs
from exai.runtime.clock import SystemClock

__all__ = ["app"]

app = new_app()


@app.command("doctor")
def doctor(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no provider and no issuer of tokens.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Check keys, clock, schema, permissions, ports, providers and identity; say how to fix a problem.

    Changes nothing. Exit code 1 when there is a problem.
    """
    try:
        loaded = choose_data(config_file, overrides, demo).loaded
    except StartFault as fault:
        findings = [problem("settings", str(fault).rstrip("."), "Then run `exai doctor` again.")]
    else:
        logs.configure(loaded.settings.logging, secrets=secret_values(loaded.settings))
        credentials = config_client.credentials_variable()
        findings = asyncio.run(run_checks(loaded, SystemClock(), offline=offline, credentials=credentials))
    typer.echo(as_document(findings) if as_json else as_text(findings))
    if not is_ok(findings):
        raise typer.Exit(1)
