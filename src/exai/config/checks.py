"""Checks that types cannot express: values that exclude each other, and API keys of the wrong form."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import HttpUrl, SecretStr

from exai.config import CustomProvider, Settings
from exai.config.auth_checks import check_auth
from exai.config.values import is_loopback
from exai.errors import StartFault

__all__ = ["check", "check_addresses"]

_PLATFORMS = frozenset({"api.z.ai", "open.bigmodel.cn", "api.moonshot.ai", "api.moonshot.cn"})
"""Hosts of GLM and Kimi themselves."""

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
    for name, row in settings.providers.custom.items():
        _check_custom(f"providers.custom.{name}", row, origins)
    if settings.providers.glm.api_key is not None:
        key = "providers.glm.api_key"
        parts = settings.providers.glm.api_key.get_secret_value().split(".")
        if len(parts) != 2 or not all(parts):
            raise StartFault(
                f"`{key}` ({origins.get(key, 'default')}) is not a GLM key, which has the form `id.secret`; "
                "copy it once more from the provider's console."
            )


def check_addresses(settings: Settings, origins: Mapping[str, str], found: Path) -> None:
    """Refuse to send a secret from another source to an address that `found` sets.

    Args:
        found: the file in the working folder, if it was read without being named; a repository may contain it.

    Raises:
        StartFault: with the first such address.
    """
    origin = f"file {found}"
    providers = settings.providers
    addresses = {
        "providers.glm": providers.glm.base_url,
        "providers.kimi": providers.kimi.base_url,
        **{f"providers.custom.{name}": row.base_url for name, row in providers.custom.items()},
    }
    for section, address in addresses.items():
        if origins[f"{section}.base_url"] != origin or _is_platform(section, address):
            continue
        for secret in (f"{section}.api_key", f"{section}.headers"):
            if origins.get(secret, "default") not in {"default", origin}:
                raise StartFault(
                    f"`{section}.base_url` ({origin}) would be sent `{secret}` ({origins[secret]}), and a file in "
                    f"the working folder may be somebody else's; if it is yours, name it: `--config {found}`."
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
    if server.port == server.operations_port != 0:
        raise StartFault(
            f"`server.port` and `server.operations_port` are both {server.port}; give them different ports."
        )


def _provider_keys(settings: Settings) -> list[tuple[str, SecretStr]]:
    keys = {
        "providers.glm.api_key": settings.providers.glm.api_key,
        "providers.kimi.api_key": settings.providers.kimi.api_key,
        **{
            f"providers.custom.{name}.api_key": row.api_key for name, row in settings.providers.custom.items()
        },
    }
    return [(key, secret) for key, secret in keys.items() if secret is not None]


def _check_key(key: str, secret: str, origin: str) -> None:
    if not secret.strip():
        raise StartFault(f"`{key}` ({origin}) is set but empty; put the provider's key there, or unset it.")
    if any(character.isspace() for character in secret):
        raise StartFault(f"`{key}` ({origin}) holds white space, which no key does; copy the key once more.")
    if not (secret.isascii() and secret.isprintable()):
        raise StartFault(f"`{key}` ({origin}) holds characters that no key does; copy the key once more.")


def _check_custom(section: str, row: CustomProvider, origins: Mapping[str, str]) -> None:
    key = f"{section}.base_url"
    if row.base_url.query or row.base_url.fragment:
        raise StartFault(
            f"`{key}` ({origins.get(key, 'default')}) has more than a root behind its path; put each "
            f"`name=value` of its query into `{section}.query`."
        )
    if (row.base_url.path or "").rstrip("/").endswith("/chat/completions"):
        raise StartFault(
            f"`{key}` ({origins.get(key, 'default')}) ends with `/chat/completions`, which EXAI adds itself; "
            "leave it out."
        )
    for secret in row.headers:
        name, _, value = secret.get_secret_value().partition(":")
        text = value.strip()
        if not _HEADER_NAME.fullmatch(name) or not text or not (text.isascii() and text.isprintable()):
            key = f"{section}.headers"
            raise StartFault(
                f"`{key}` ({origins.get(key, 'default')}) holds an entry that is no header; write each as "
                "`Name: value`, in printable ASCII."
            )
    for entry in row.query:
        if not entry.partition("=")[0] or "=" not in entry:
            key = f"{section}.query"
            raise StartFault(
                f"`{key}` ({origins.get(key, 'default')}) holds an entry without a value; write each as "
                "`name=value`."
            )
