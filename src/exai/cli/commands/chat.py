"""`exai chat`: a question to a model from the terminal."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.event_loop import run
from exai.cli.options import AsJson, ConfigFile, Overrides
from exai.cli.terminal.asking import Place, daemon_at, serve_options
from exai.cli.terminal.attached import AttachedFiles, is_picture
from exai.cli.terminal.last_conversation import last_conversation, remember_conversation
from exai.cli.terminal.prompt import is_stored, prompt_of
from exai.cli.terminal.screen import Screen, facts_of, summary
from exai.client.connection import CallFailed, connect
from exai.config.values import is_loopback
from exai.errors import StartFault

__all__ = ["app"]

HERE = "here"
"""Names the daemon of these settings, whether it runs or is started for the question."""

app = new_app()


@dataclass(frozen=True)
class _Style:
    """How the answer is shown."""

    as_json: bool
    shows_thinking: bool
    quiet: bool


@app.command("chat")
def chat(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT", help="The question. What is piped in is put below it."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A name that `exai models` lists.")
    ] = None,
    goes_on: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on with the last conversation.")
    ] = False,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on with this conversation, a `continuation_id`.")
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="A text, a picture, or what is stored: file_…, tree_… or exai://files/…. May be repeated.",
        ),
    ] = None,
    send_secrets: Annotated[
        bool,
        typer.Option("--send-secrets", help="Send files as they are, also what looks like a secret in them."),
    ] = False,
    web: Annotated[bool, typer.Option("--web", help="Let the model search the web.")] = False,
    effort: Annotated[
        str | None, typer.Option(help="How hard the model thinks: minimal, low, medium, high or max.")
    ] = None,
    thinking: Annotated[bool, typer.Option("--thinking", help="Show what it thinks, on stderr.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing but the answer.")] = False,
    as_json: AsJson = False,
    demo: Annotated[
        bool | None,
        typer.Option(
            "--demo/--no-demo",
            help="Ask the built-in emulator, without any key and on data of its own; or never it. Left out: the "
            "daemon that runs here.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The daemon, as ws://host:port/mcp. Left out: as the settings have it."
        ),
    ] = None,
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `exai token create --save FILE` wrote.")
    ] = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Ask a model from the terminal, and see the answer as it is written.

    Asks the running daemon; where none runs, it starts one for the question. The answer goes to stdout, everything
    else to stderr.
    """
    if demo and url is not None:
        raise typer.BadParameter("name a daemon by --url, or the demonstration by --demo")
    chosen = choose_data(config_file, overrides, demo)
    settings = chosen.settings
    stored = [file for file in files or () if is_stored(file)]
    paths = [Path(file) for file in files or () if not is_stored(file)]
    attached = AttachedFiles("off" if send_secrets else settings.files.secrets)
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    arguments: dict[str, object] = {
        "prompt": prompt_of(words or (), piped, [file for file in paths if not is_picture(file)], attached),
        "images": [attached.picture(file) for file in paths if is_picture(file)],
        "absolute_file_paths": stored,
        "send_secrets": True if send_secrets and stored else None,
        "model": model,
        "effort": effort,
        "use_websearch": web or None,
        "continuation_id": last_conversation(settings.data_dir, url or HERE) if goes_on else conversation,
    }
    for note in attached.notes:
        typer.echo(note, err=True)
    may_start = url is None and is_loopback(settings.server.host)
    options = serve_options(config_file, overrides or [], demo=chosen.loaded.demo)
    place = Place(url or chosen.address, may_start, options, credentials)
    given = {name: value for name, value in arguments.items() if value not in (None, [])}
    asked_in = run(_ask(place, given, _Style(as_json, thinking, quiet)))
    if asked_in is not None:
        remember_conversation(settings.data_dir, url or HERE, asked_in)


async def _ask(place: Place, arguments: dict[str, object], style: _Style) -> str | None:
    """Ask, show the answer, and return the id of the conversation.

    Raises:
        StartFault: nobody could be asked.
        typer.Exit: the call failed.
    """
    streams = sys.stdout.isatty() and not style.as_json
    screen = Screen(sys.stdout, sys.stderr, streams=streams, shows_thinking=style.shows_thinking)
    try:
        async with (
            daemon_at(place) as url,
            connect(url, credentials=place.credentials) as session,
        ):
            answer = await session.call("chat", arguments, on_progress=screen.receive)
    except CallFailed as fault:
        raise StartFault(str(fault)) from None
    facts = facts_of(answer)
    if style.as_json:
        typer.echo(json.dumps(facts or answer.meta, indent=2, ensure_ascii=False))
    elif answer.is_error:
        typer.echo(answer.text, err=True)
    else:
        screen.end(str(facts["answer"]))
    if answer.is_error:
        raise typer.Exit(1)
    if not (style.quiet or style.as_json):
        typer.echo(f"{summary(facts)} | go on: exai chat --continue", err=True)
    return str(facts["continuation_id"])
