"""`exai stdio`: the whole engine for one client, over stdin and stdout."""

from pathlib import Path

from pydantic import SecretStr

from exai.app.daemon import run_stdio
from exai.cli.command_group import new_app
from exai.cli.event_loop import run
from exai.cli.options import ConfigFile, Demo, Overrides, Roots, load_settings
from exai.client.credentials_file import read_credentials
from exai.config.client import TOKEN_VARIABLE, credentials_variable, token_variable
from exai.config.tree import secret_values
from exai.monitoring import logs

__all__ = ["app"]

app = new_app()


@app.command("stdio")
def stdio(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    roots: Roots = None,
    demo: Demo = False,
) -> None:
    """Serve one MCP client over stdin and stdout; what MCP clients start by themselves.

    Where tokens are required, it takes one from EXAI_TOKEN, or from the file that EXAI_CREDENTIALS names. For a
    process that lives long, use an API key.

    Calls may name files in the folder it is started in. An exai.toml there is not read: it may be somebody
    else's.
    """
    settings = load_settings(config_file, overrides, trust_cwd=False).settings
    files = settings.files
    widened = (*files.roots, *(root.absolute() for root in roots or ()), Path.cwd())
    settings = settings.model_copy(update={"files": files.model_copy(update={"roots": widened})})
    logs.configure(settings.logging, secrets=secret_values(settings))
    token, token_from = token_variable(), TOKEN_VARIABLE
    if token is None and (file := credentials_variable()) is not None:
        token, token_from = read_credentials(file).access_token, str(file)
    given = None if token is None else SecretStr(token)
    run(run_stdio(settings, demo=demo, token=given, token_from=token_from))
