"""`exai doctor`: what is wrong with the set-up, and how to mend it."""

from typing import Annotated

import typer

from exai.cli.options import ConfigFile, Overrides, load_settings
from exai.errors import StartFault

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("doctor")
    def doctor(
        config_file: ConfigFile = None,
        overrides: Overrides = None,
        offline: Annotated[
            bool, typer.Option("--offline", help="Ask no provider and no issuer of tokens.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
    ) -> None:
        """Look at keys, clock, schema, permissions, ports, providers and identity; say how to mend what is wrong.

        Changes nothing. Exit code 1 when there is a problem.
        """
        import asyncio  # noqa: PLC0415 - see exai.cli

        from exai.config import client as config_client  # noqa: PLC0415
        from exai.config.tree import secret_values  # noqa: PLC0415
        from exai.doctor.examine import examine  # noqa: PLC0415
        from exai.doctor.findings import as_document, as_text, is_well, problem  # noqa: PLC0415
        from exai.monitoring import logs  # noqa: PLC0415
        from exai.runtime.clock import SystemClock  # noqa: PLC0415

        try:
            loaded = load_settings(config_file, overrides)
        except StartFault as fault:
            findings = [problem("settings", str(fault).rstrip("."), "Then run `exai doctor` again.")]
        else:
            logs.configure(loaded.settings.logging, secrets=secret_values(loaded.settings))
            credentials = config_client.credentials_variable()
            findings = asyncio.run(examine(loaded, SystemClock(), offline=offline, credentials=credentials))
        typer.echo(as_document(findings) if as_json else as_text(findings))
        if not is_well(findings):
            raise typer.Exit(1)
