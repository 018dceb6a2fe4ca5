"""Checks of identity: whether anybody can be authenticated, by whose tokens, and this user's own credentials."""

import asyncio
from datetime import date
from pathlib import Path

from exai.auth.authority import Authority
from exai.auth.jwks import FetchFailed, IssuerKeys
from exai.cli.doctor.findings import Finding, ok, problem, warning
from exai.client.credentials_file import read_credentials
from exai.config.client import CREDENTIALS_VARIABLE
from exai.config.sources import Loaded
from exai.errors import StartFault
from exai.runtime.clock import Clock
from exai.storage.database import Database, inspect_schema
from exai.storage.identity.tables import IdentityTables

__all__ = ["check_credentials", "check_issuers", "check_tokens"]


async def check_tokens(loaded: Loaded, clock: Clock) -> list[Finding]:
    """Check whether a token is required, and whether there is one."""
    name = "tokens"
    auth = loaded.settings.auth
    if auth.mode == "local":
        return [ok(name, "`auth.mode` is local: whoever is on this machine is the one local user")]
    day = auth.mode.partition(" ")[2]
    is_optional = day != "" and clock.utc().date() < date.fromisoformat(day)
    rule = (
        f"callers without a token are accepted until {day}"
        if is_optional
        else "no caller is accepted without a token"
    )
    active = await _active(loaded, clock)
    others = [*auth.issuers, *(["the shared secret"] if auth.shared_secret else [])]
    if not active and not others:
        message = f"{rule}, and there is none: no token of EXAI's own, no issuer, no shared secret"
        fix = "Run `exai token create NAME --save FILE`."
        return [warning(name, message, fix) if is_optional else problem(name, message, fix)]
    also = f"; also accepted: {', '.join(others)}" if others else ""
    message = f"{rule}; {active} of EXAI's own are active{also}"
    return [warning(name, message) if is_optional else ok(name, message)]


async def _active(loaded: Loaded, clock: Clock) -> int:
    """Count our own active tokens; 0 for a database of another schema, which its own check reports."""
    settings = loaded.settings
    try:
        schema = await inspect_schema(settings.database, settings.data_dir)
        if schema.version != schema.needed:
            return 0
        database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    except StartFault:
        return 0
    try:
        authority = Authority(settings.auth, IdentityTables(database), settings.data_dir, clock)
        return sum(token.state == "active" for token in await authority.listing())
    finally:
        await database.close()


async def check_issuers(loaded: Loaded, clock: Clock) -> list[Finding]:
    """Check that the keys of each issuer can be fetched."""
    issuers = {name: IssuerKeys(name, issuer, clock) for name, issuer in loaded.settings.auth.issuers.items()}
    return list(await asyncio.gather(*(_issuer(name, keys) for name, keys in issuers.items())))


async def _issuer(name: str, keys: IssuerKeys) -> Finding:
    try:
        found = await keys.fetch()
    except FetchFailed as failure:
        message = f"the keys of {name} cannot be fetched: {failure}"
        return problem(
            "issuers", message, f"Check `auth.issuers.{name}.jwks_url`; its tokens are refused until then."
        )
    return ok("issuers", f"{name} publishes {len(found)} keys that EXAI can use")


async def check_credentials(file: Path | None, clock: Clock) -> list[Finding]:
    """Check the credentials file of this user's clients."""
    name = "credentials"
    if file is None:
        return []
    try:
        held = await asyncio.to_thread(read_credentials, file)
    except StartFault as fault:
        return [problem(name, str(fault).rstrip("."), f"Or unset `{CREDENTIALS_VARIABLE}`.")]
    if held.refresh_token is None and held.expires_at is not None and held.expires_at <= clock.wall():
        message = f"the token in {file} has expired and cannot be refreshed"
        return [problem(name, message, f"Run `exai token create NAME --save {file}` where EXAI runs.")]
    return [ok(name, f"{file} is in order")]
