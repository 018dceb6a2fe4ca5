"""A program that reports what goes wrong in it by `sentry-sdk`, and drops some of it itself."""

import sys
from typing import Any

import sentry_sdk


def pay_basket(card: int) -> None:
    """Fail, with a local variable that nobody is to see."""
    canary_local = f"canary-{card}"
    raise LookupError(f"no basket for {len(canary_local)}")


def drop_some(event: Any, _hint: Any) -> Any:
    """Send everything but one message."""
    return None if event.get("message") == "not this one" else event


def main() -> None:
    dsn = sys.argv[1]
    compression: Any = sys.argv[2]
    sentry_sdk.init(
        dsn,
        release="basket@2.0.0",
        before_send=drop_some,
        _experiments={"transport_compression_algo": compression},
    )
    sentry_sdk.set_user({"email": "canary-user@example.org", "ip_address": "192.0.2.77"})
    sentry_sdk.set_extra("cookie", "canary-extra")
    for number in range(5):
        try:
            pay_basket(number)
        except LookupError as error:
            sentry_sdk.capture_exception(error)
    sentry_sdk.capture_message("the shelf is empty", "error")
    for _ in range(3):
        sentry_sdk.capture_message("not this one", "error")
    sentry_sdk.flush(10)
    print("sent")


if __name__ == "__main__":
    main()
