"""Checks that types cannot express: values that exclude each other, and API keys of the wrong form."""

import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from pydantic import HttpUrl, SecretStr

from exai.config import CustomProvider, Files, Fleet, GlmProvider, KimiProvider, Settings
from exai.config.auth_checks import check_auth
from exai.config.values import is_loopback, is_resolvable
from exai.config.watching.notify_checks import check_notify
from exai.errors import StartFault

__all__ = ["check", "check_addresses"]

_PLATFORMS = frozenset({"api.z.ai", "open.bigmodel.cn", "api.moonshot.ai", "api.moonshot.cn"})
"""Hosts of GLM and Kimi themselves."""

_HEADERS_OF_THE_CLIENT = frozenset(
    {"connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that describe one message or its connection (RFC 9110, sections 7.6.1 and 8.6)."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Refuse settings that no daemon may start with.

    Args:
        origins: where each dotted key came from, for the message.

    Raises:
        StartFault: with the first thing that is wrong.
    """
    _check_doors(settings, origins)
    check_auth(settings.auth, origins)
    for key, secret in _provider_keys(settings):
        _check_key(key, secret.get_secret_value(), origins.get(key, "default"))
    for section, row in _providers(settings).items():
        _check_base_url(f"{section}.base_url", row.base_url, origins)
    for section in ("providers.glm", "providers.kimi"):
        _refuse_userinfo(f"{section}.base_url", _providers(settings)[section].base_url, origins)
    for name, row in settings.providers.custom.items():
        _check_custom(f"providers.custom.{name}", row, origins)
    _check_bucket(settings.files, origins)
    check_notify(settings.notify, origins)
    _check_fleet(settings.fleet, origins)
    if settings.providers.glm.api_key is not None:
        key = "providers.glm.api_key"
        parts = settings.providers.glm.api_key.get_secret_value().split(".")
        if len(parts) != 2 or not all(parts):
            raise StartFault(
                f"`{key}` ({origins.get(key, 'default')}) is not a GLM key, which has the form `id.secret`; "
                "copy it once more from the provider's console."
            )


def _check_fleet(fleet: Fleet, origins: Mapping[str, str]) -> None:
    if fleet.lease_s < 4 * fleet.beat_s:
        raise StartFault(
            f"`fleet.lease_s` ({origins.get('fleet.lease_s', 'default')}) is {fleet.lease_s:g}, and `fleet.beat_s` "
            f"({origins.get('fleet.beat_s', 'default')}) is {fleet.beat_s:g}: a process that is late with one beat or "
            f"two would count as dead. Make the lease at least {4 * fleet.beat_s:g}."
        )


def check_addresses(settings: Settings, origins: Mapping[str, str], found: Path) -> None:
    """Refuse to send a secret from another source to an address that `found` sets.

    Args:
        found: the file in the working folder, if it was read without being named; a repository may contain it.

    Raises:
        StartFault: with the first such address.
    """
    origin = f"file {found}"
    for section, row in _providers(settings).items():
        address = row.base_url
        if origins[f"{section}.base_url"] != origin or _is_platform(section, address):
            continue
        for secret in (f"{section}.api_key", f"{section}.headers"):
            if origins.get(secret, "default") not in {"default", origin}:
                raise StartFault(
                    f"`{section}.base_url` ({origin}) would be sent `{secret}` ({origins[secret]}), and a file in "
                    f"the working folder may be somebody else's; if it is yours, name it: `--config {found}`."
                )
    if origins["notify.webhooks"] == origin and settings.notify.webhooks:
        raise StartFault(
            f"`notify.webhooks` ({origin}) would have an address told what happens here, and a file in the working "
            f"folder may be somebody else's; if it is yours, name it: `--config {found}`."
        )
    for key in ("files.store", "files.s3.endpoint"):
        if origins[key] == origin and settings.files.store != "folder":
            raise StartFault(
                f"`{key}` ({origin}) would have stored files sent to an address, and a file in the working folder may "
                f"be somebody else's; if it is yours, name it: `--config {found}`."
            )


def _is_platform(section: str, address: HttpUrl) -> bool:
    is_own = section in {"providers.glm", "providers.kimi"}
    return is_own and address.scheme == "https" and address.host in _PLATFORMS


def _check_doors(settings: Settings, origins: Mapping[str, str]) -> None:
    server = settings.server
    reachable = {"server.host": server.host}
    if server.public_url is not None:
        reachable["server.public_url"] = (server.public_url.host or "").strip("[]")
    for key, host in reachable.items():
        if not is_loopback(host) and settings.auth.mode != "required":
            raise StartFault(
                f"`{key}` ({origins.get(key, 'default')}) is not a loopback address, and `auth.mode` is "
                f"`{settings.auth.mode}`, which lets in everybody who can connect; set it to `required`, "
                "or use `127.0.0.1`, `::1` or `localhost`."
            )
    if (url := server.public_url) is not None and (url.username or url.password or url.query or url.fragment):
        raise StartFault(
            f"`server.public_url` ({origins.get('server.public_url', 'default')}) has more than scheme, host, port and "
            "path; leave user, password, query and fragment out."
        )
    ports = {name: getattr(server, name) for name in ("port", "operations_port", "errors_port")}
    for one, other in combinations(ports, 2):
        if ports[one] == ports[other] != 0:
            raise StartFault(
                f"`server.{one}` and `server.{other}` are both {ports[one]}; give them different ports."
            )


def _providers(settings: Settings) -> Mapping[str, GlmProvider | KimiProvider | CustomProvider]:
    """Return every provider's section, by its dotted key."""
    providers = settings.providers
    custom = {f"providers.custom.{name}": row for name, row in providers.custom.items()}
    return {"providers.glm": providers.glm, "providers.kimi": providers.kimi, **custom}


def _provider_keys(settings: Settings) -> list[tuple[str, SecretStr]]:
    keys = {f"{section}.api_key": row.api_key for section, row in _providers(settings).items()}
    return [(key, secret) for key, secret in keys.items() if secret is not None]


def _check_base_url(key: str, url: HttpUrl, origins: Mapping[str, str]) -> None:
    """Refuse an address that is no root of an API, or that no request can be sent to."""
    origin = origins.get(key, "default")
    if url.query or url.fragment:
        is_custom = key.startswith("providers.custom.")
        further = f"put each `name=value` of its query into `{key.rpartition('.')[0]}.query`"
        raise StartFault(
            f"`{key}` ({origin}) has more than a root behind its path; "
            f"{further if is_custom else 'leave its query and fragment out'}."
        )
    if (url.path or "").rstrip("/").endswith("/chat/completions"):
        raise StartFault(
            f"`{key}` ({origin}) ends with `/chat/completions`, which EXAI adds itself; leave it out."
        )
    if not is_resolvable(url.host or ""):
        raise StartFault(f"`{key}` ({origin}) has a host that no name server can have; correct it.")


def _refuse_userinfo(key: str, url: HttpUrl, origins: Mapping[str, str]) -> None:
    if url.username or url.password:
        raise StartFault(
            f"`{key}` ({origins.get(key, 'default')}) has a user or password, and requests carry the provider's key "
            "in their place; leave them out."
        )


def _check_key(key: str, secret: str, origin: str) -> None:
    if not secret.strip():
        raise StartFault(f"`{key}` ({origin}) is set but empty; put the provider's key there, or unset it.")
    if any(character.isspace() for character in secret):
        raise StartFault(f"`{key}` ({origin}) holds white space, which no key does; copy the key once more.")
    if not (secret.isascii() and secret.isprintable()):
        raise StartFault(f"`{key}` ({origin}) holds characters that no key does; copy the key once more.")


def _check_bucket(files: Files, origins: Mapping[str, str]) -> None:
    """Refuse half a key, and an address that has more than a root."""
    s3 = files.s3
    if (s3.access_key_id is None) != (s3.secret_access_key is None):
        raise StartFault(
            "`files.s3.access_key_id` and `files.s3.secret_access_key` belong together; set both, or none."
        )
    url = s3.endpoint
    if url is not None and (url.username or url.password or url.query or url.fragment):
        origin = origins.get("files.s3.endpoint", "default")
        raise StartFault(
            f"`files.s3.endpoint` ({origin}) has more than scheme, host, port and path; leave the rest out."
        )


def _check_custom(section: str, row: CustomProvider, origins: Mapping[str, str]) -> None:
    for secret in row.headers:
        name, _, value = secret.get_secret_value().partition(":")
        text = value.strip()
        if not _HEADER_NAME.fullmatch(name) or not text or not (text.isascii() and text.isprintable()):
            key = f"{section}.headers"
            raise StartFault(
                f"`{key}` ({origins.get(key, 'default')}) holds an entry that is no header; write each as "
                "`Name: value`, in printable ASCII."
            )
        if name.casefold() in _HEADERS_OF_THE_CLIENT:
            key = f"{section}.headers"
            raise StartFault(
                f"`{key}` ({origins.get(key, 'default')}) sets `{name}`, which follows from each request; leave it out."
            )
    for entry in row.query:
        if not entry.partition("=")[0] or "=" not in entry:
            key = f"{section}.query"
            raise StartFault(
                f"`{key}` ({origins.get(key, 'default')}) holds an entry without a value; write each as "
                "`name=value`."
            )
