"""The doctor's look at identity: who may come in, whose tokens are believed, and this user's own credentials."""

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

from exai.auth.authority import Authority
from exai.auth.jwks import FetchFailed, IssuerKeys
from exai.client.credentials_file import read_credentials
from exai.config.client import CREDENTIALS_VARIABLE
from exai.config.sources import Loaded
from exai.doctor.findings import Finding, problem, warning, well
from exai.errors import StartFault
from exai.runtime.clock import Clock
from exai.storage.database import Database, look_at_schema
from exai.storage.identity.tables import IdentityTables

__all__ = ["look_at_credentials", "look_at_issuers", "look_at_tokens"]


async def look_at_tokens(loaded: Loaded, clock: Clock) -> list[Finding]:
    """Whether a token is needed, and whether anybody can have one."""
    name = "tokens"
    auth = loaded.settings.auth
    if auth.mode == "local":
        return [well(name, "`auth.mode` is local: whoever is on this machine is the one local user")]
    day = auth.mode.partition(" ")[2]
    is_optional = day != "" and datetime.fromtimestamp(clock.wall(), UTC).date() < date.fromisoformat(day)
    rule = f"callers without one come in until {day}" if is_optional else "nobody comes in without one"
    active = await _active(loaded, clock)
    others = [*auth.issuers, *(["the shared secret"] if auth.shared_secret else [])]
    if not active and not others:
        says = f"{rule}, and there is none: no token of EXAI's own, no issuer, no shared secret"
        mend = "Run `exai token create NAME --save FILE`."
        return [warning(name, says, mend) if is_optional else problem(name, says, mend)]
    believed = f"; believed as well: {', '.join(others)}" if others else ""
    says = f"{rule}; {active} of EXAI's own are active{believed}"
    return [warning(name, says) if is_optional else well(name, says)]


async def _active(loaded: Loaded, clock: Clock) -> int:
    """How many tokens of our own are good; a database of another schema is told of by the look at it."""
    settings = loaded.settings
    try:
        schema = await look_at_schema(settings.database, settings.data_dir)
        if schema.version != schema.needed:
            return 0
        database = await Database.open(settings.database, settings.data_dir)
    except StartFault:
        return 0
    try:
        authority = Authority(settings.auth, IdentityTables(database), settings.data_dir, clock)
        return sum(token.state == "active" for token in await authority.listing())
    finally:
        await database.close()


async def look_at_issuers(loaded: Loaded, clock: Clock) -> list[Finding]:
    """Whether the keys of each issuer can be had."""
    issuers = {name: IssuerKeys(name, issuer, clock) for name, issuer in loaded.settings.auth.issuers.items()}
    return list(await asyncio.gather(*(_issuer(name, keys) for name, keys in issuers.items())))


async def _issuer(name: str, keys: IssuerKeys) -> Finding:
    try:
        found = await keys.fetch()
    except FetchFailed as failure:
        says = f"the keys of {name} cannot be had: {failure}"
        return problem(
            "issuers", says, f"Check `auth.issuers.{name}.jwks_url`; its tokens are refused till then."
        )
    return well("issuers", f"{name} publishes {len(found)} keys that EXAI can use")


async def look_at_credentials(file: Path | None, clock: Clock) -> list[Finding]:
    """Whether the file that this user's clients are told of is in order."""
    name = "credentials"
    if file is None:
        return []
    try:
        held = await asyncio.to_thread(read_credentials, file)
    except StartFault as fault:
        return [problem(name, str(fault).rstrip("."), f"Or unset `{CREDENTIALS_VARIABLE}`.")]
    if held.refresh_token is None and held.expires_at is not None and held.expires_at <= clock.wall():
        says = f"the token in {file} has expired and cannot be renewed"
        return [problem(name, says, f"Run `exai token create NAME --save {file}` where EXAI runs.")]
    return [well(name, f"{file} is in order")]
