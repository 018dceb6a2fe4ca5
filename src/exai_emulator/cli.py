"""The command `exai-emulator`."""

import asyncio
import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import typer

from exai_emulator.conformance import conformance_page
from exai_emulator.emulator import Addresses
from exai_emulator.options import CustomDialectName, EmulatorOptions, Strictness
from exai_emulator.personas import Persona
from exai_emulator.running import PortInUseError, running

__all__ = ["main"]

_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _port(service: str) -> Any:
    return typer.Option(min=0, max=65_535, help=f"Port of {service}; 0 takes any free one.")


def main() -> None:
    """Run the command line."""
    _app()


@_app.command(
    help="Run GLM, Kimi and a plain OpenAI-compatible service as HTTP servers on this machine, "
    "without any model. Every answer begins with '[emulated <model>]'. It prints addresses and keys, and runs "
    "until Ctrl-C or SIGTERM.",
    epilog="""Examples:

exai-emulator --persona '{"kind":"long","tokens":200,"delay_per_token_ms":20}'

curl CONTROL/_ctl/faults -d '{"provider":"kimi","ready":"rate_limit","times":2}'

curl -X PUT CONTROL/_ctl/account -d '{"provider":"kimi","account":{"tier":0}}'

curl CONTROL/_ctl/clock -d '{"advance_s":60}'""",
)
def _run(  # noqa: PLR0913, PLR0917 - one parameter per option
    glm_port: Annotated[int, _port("GLM")] = 0,
    kimi_port: Annotated[int, _port("Kimi")] = 0,
    custom_port: Annotated[int, _port("the OpenAI-compatible service")] = 0,
    control_port: Annotated[int, _port("control (faults, accounts, clock, log: /_ctl/...)")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    persona: Annotated[
        str,
        typer.Option(
            help="How the models answer: auto, echo, recall, reader, or a persona as a JSON object."
        ),
    ] = "auto",
    custom_dialect: Annotated[
        CustomDialectName, typer.Option(help="Whose habits the OpenAI-compatible service has.")
    ] = "compatible",
    strictness: Annotated[
        Strictness,
        typer.Option(help="Refuse by default rules, only as recordings show (recorded), or by every rule."),
    ] = "default",
    seed: Annotated[int, typer.Option(help="Changes every id and chance; the same seed repeats them.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print addresses and keys as one line of JSON.")
    ] = False,
    conformance: Annotated[
        bool,
        typer.Option(
            "--conformance", help="Print what is emulated and how much of it is proven, and do not run."
        ),
    ] = False,
) -> None:
    if conformance:
        sys.stdout.write(conformance_page())
        return
    options = EmulatorOptions(
        host=host,
        glm_port=glm_port,
        kimi_port=kimi_port,
        custom_port=custom_port,
        control_port=control_port,
        persona=_persona(persona),
        custom_dialect=custom_dialect,
        strictness=strictness,
        seed=seed,
    )
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(options, as_json=as_json))
    except PortInUseError as error:
        sys.stderr.write(f"exai-emulator: {error.args[-1]}\n")
        raise typer.Exit(1) from error


def _persona(text: str) -> Persona:
    try:
        return msgspec.json.decode(text if text.startswith("{") else json.dumps({"kind": text}), type=Persona)
    except (msgspec.DecodeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--persona") from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: the emulator drives benchmarks."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - optional: it does not exist on every platform

        return uvloop.new_event_loop
    return None


async def _serve(options: EmulatorOptions, *, as_json: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running(options) as emulator:
        addresses = emulator.addresses
        shown = json.dumps(dataclasses.asdict(addresses)) if as_json else _as_text(addresses)
        sys.stdout.write(shown + "\n")
        sys.stdout.flush()
        await stopped.wait()


def _as_text(addresses: Addresses) -> str:
    rows = (
        ("GLM", addresses.glm, addresses.glm_key),
        ("GLM coding plan", addresses.glm_coding, addresses.glm_key),
        ("Kimi", addresses.kimi, addresses.kimi_key),
        ("OpenAI-compatible", addresses.custom, addresses.custom_key),
    )
    width = max(len(url) for _, url, _ in rows)
    lines = [f"{name:<18} {url:<{width}}  key {key}" for name, url, key in rows]
    return "\n".join([*lines, f"{'control':<18} {addresses.control}/_ctl/stats"])
