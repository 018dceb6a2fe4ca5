"""Checks of the settings of webhooks that types cannot express."""

from collections.abc import Mapping

from exai.config.values import is_loopback, is_resolvable
from exai.config.watching.notify import Notify, Webhook, key_of
from exai.errors import StartFault

__all__ = ["check_notify"]


def check_notify(notify: Notify, origins: Mapping[str, str]) -> None:
    """Refuse webhooks that cannot be told anything, or could be told it by mistake.

    Raises:
        StartFault: with the first thing that is wrong.
    """
    origin = origins.get("notify.webhooks", "default")
    for number, webhook in enumerate(notify.webhooks, start=1):
        if (wrong := _wrong_with(webhook)) is not None:
            raise StartFault(f"Webhook {number} of `notify.webhooks` ({origin}) {wrong}")
    if any(not webhook.kinds for webhook in notify.webhooks):
        raise StartFault(
            f"`notify.webhooks` ({origin}) has an entry without `kinds`; leave it out for all of them."
        )
    urls = [webhook.url.get_secret_value() for webhook in notify.webhooks]
    if len(set(urls)) < len(urls):
        raise StartFault(
            f"`notify.webhooks` ({origin}) has an address twice; give one entry all the kinds that it wants."
        )
    if notify.secret is not None:
        try:
            key_of(notify.secret.get_secret_value())
        except ValueError as error:
            raise StartFault(
                f"`notify.secret` ({origins.get('notify.secret', 'default')}) is {error}; "
                "`exai notify secret` makes one."
            ) from None
    elif any(webhook.format == "json" for webhook in notify.webhooks):
        raise StartFault(
            f"`notify.webhooks` ({origin}) needs `notify.secret`, which signs what is posted; "
            "`exai notify secret` makes one. What a chat takes needs none: `format` is `text` there."
        )


def _wrong_with(webhook: Webhook) -> str | None:
    address = webhook.address
    host = (address.host or "").strip("[]")
    if not is_resolvable(host):
        return "has a host that no name server can have; correct it."
    if address.username or address.password or address.fragment:
        return "has a user, password or fragment, which are not sent; leave them out."
    if not webhook.private and address.scheme != "https":
        return "has no `https` address; use one, or set `private` for one in a network of your own."
    if not webhook.private and is_loopback(host):
        return "is on this machine; set `private` if that is meant."
    return None
