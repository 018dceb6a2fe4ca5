"""A message is posted to the address that the operator named, signed as the library of reference verifies it."""

from collections.abc import AsyncIterator

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from exai.config.watching.notify import Webhook, key_of
from exai.monitoring.notification.messages import encoded
from exai.monitoring.notification.signing import new_secret
from exai.monitoring.notification.webhook import PostFailed, post
from exai.runtime.clock import SystemClock
from support.resolvers import OneAddress, SeveralAddresses
from support.webhook_targets import WebhookTarget, webhook_target

SECRET = new_secret()
CLOCK = SystemClock()
TOLD = {"id": "E-17", "title": "KeyError in exai.a:f", "counts": {"seen": 3}}


@pytest.fixture
async def target() -> AsyncIterator[WebhookTarget]:
    async with webhook_target() as target:
        yield target


def webhook(url: str, **changed: object) -> Webhook:
    return Webhook.model_validate({"url": url, "private": True, **changed})


async def send(hook: Webhook, resolver: OneAddress | None = None, *, timeout_s: float = 10.0) -> None:
    body = encoded("error.new", CLOCK.utc(), TOLD, "http://127.0.0.1:8080/", hook.format)
    await post(hook, body, "msg_1", secret=SECRET, clock=CLOCK, resolver=resolver, timeout_s=timeout_s)


async def test_the_library_of_reference_verifies_the_signature_and_no_other_secret_does(
    target: WebhookTarget,
) -> None:
    await send(webhook(target.url))
    (received,) = target.received
    told = received.verified_by(SECRET)
    assert told["type"] == "error.new"
    assert told["data"] == {**TOLD, "link": "http://127.0.0.1:8080/api/errors/E-17"}
    assert received.message_id == "msg_1"
    with pytest.raises(WebhookVerificationError):
        received.verified_by(new_secret())


async def test_a_chat_gets_a_line_and_the_link(target: WebhookTarget) -> None:
    await send(webhook(target.url, format="text"))
    assert target.received[0].told == {
        "text": "[error.new] E-17 KeyError in exai.a:f (seen 3): `exai errors show E-17`\n"
        "http://127.0.0.1:8080/api/errors/E-17"
    }


async def test_a_redirect_is_not_followed(target: WebhookTarget) -> None:
    async with webhook_target() as trap:
        target.statuses, target.location = [307], trap.url
        with pytest.raises(PostFailed, match="status 307: a redirect"):
            await send(webhook(target.url))
        assert trap.received == []


async def test_what_is_not_accepted_fails_and_gone_says_so(target: WebhookTarget) -> None:
    for status, is_gone in ((500, False), (404, False), (410, True)):
        target.statuses = [status]
        with pytest.raises(PostFailed, match=f"^status {status}$") as failed:
            await send(webhook(target.url))
        assert failed.value.is_gone is is_gone


async def test_one_that_does_not_answer_has_an_end(target: WebhookTarget) -> None:
    target.open.clear()
    with pytest.raises(PostFailed, match=r"no answer within 0\.2 s"):
        await send(webhook(target.url), timeout_s=0.2)


async def test_a_name_that_leads_into_the_own_network_is_refused_before_anything_is_sent(
    target: WebhookTarget,
) -> None:
    hook = webhook(f"https://hooks.example.org:{target.port}/hook", private=False)
    for resolver in (
        OneAddress("127.0.0.1"),
        OneAddress("10.0.0.7"),
        OneAddress("169.254.169.254"),
        OneAddress("::ffff:127.0.0.1"),
        SeveralAddresses("8.8.8.8", "127.0.0.1"),
    ):
        with pytest.raises(PostFailed, match="not public; set `private` if that is meant"):
            await send(hook, resolver)
    with pytest.raises(PostFailed, match="not public"):
        await send(webhook(f"https://127.0.0.1:{target.port}/hook", private=False))
    assert target.received == []


async def test_the_address_that_was_checked_is_the_one_that_is_asked(target: WebhookTarget) -> None:
    """A name that leads elsewhere a moment later is asked for once, and refused the next time."""
    hook = webhook(f"http://localhost:{target.port}/hook")
    flipping = OneAddress("127.0.0.1", "10.0.0.7")
    await send(hook, flipping)
    assert (flipping.asked, len(target.received)) == (1, 1)
    with pytest.raises(PostFailed, match="leads away from loopback"):
        await send(hook, flipping)
    elsewhere = webhook(f"http://hooks.lan:{target.port}/hook")
    with pytest.raises(PostFailed, match="not public"):
        await send(elsewhere, OneAddress("127.0.0.1"))
    assert len(target.received) == 1


def test_a_secret_has_its_form() -> None:
    assert len(key_of(SECRET)) == 32
    for wrong in ("", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%", SECRET.removeprefix("whsec_")):
        with pytest.raises(ValueError, match="24 to 64 bytes"):
            key_of(wrong)
