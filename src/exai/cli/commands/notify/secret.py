"""`exai notify secret`: a secret by which messages are signed."""

import typer

from exai.cli.command_group import new_app
from exai.monitoring.notification.signing import new_secret

__all__ = ["app"]

app = new_app()


@app.command("secret")
def secret() -> None:
    """Make a secret by which messages are signed, for `notify.secret` and for receivers.

    It is kept nowhere: put it where the settings' other secrets are.
    """
    typer.echo(new_secret())
