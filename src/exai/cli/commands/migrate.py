"""`exai migrate`: brings the database to the schema that this version needs."""

import typer

from exai.cli.options import ConfigFile, Overrides, load_settings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("migrate")
    def migrate(config_file: ConfigFile = None, overrides: Overrides = None) -> None:
        """Bring the database to the schema that this version needs. Back it up first."""
        import asyncio  # noqa: PLC0415 - see exai.cli

        from exai.storage.database import migrate_database  # noqa: PLC0415

        settings = load_settings(config_file, overrides).settings
        before, after = asyncio.run(migrate_database(settings.database, settings.data_dir))
        if before == after:
            typer.echo(f"The database has schema {after} already; nothing to do.")
        else:
            typer.echo(
                f"The database went from {'nothing' if before is None else f'schema {before}'} to {after}."
            )
