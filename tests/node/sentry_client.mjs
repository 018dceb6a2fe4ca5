// A program that reports what goes wrong in it by @sentry/node, and drops some of it itself.
import * as Sentry from "@sentry/node";

Sentry.init({
  dsn: process.argv[2],
  release: "basket@2.0.0",
  beforeSend: (event) => (event.message === "not this one" ? null : event),
});

function payBasket(card) {
  const canaryLocal = `canary-${card}`;
  throw new RangeError(`no basket for ${card + canaryLocal.length} items`);
}

Sentry.setUser({ email: "canary-user@example.org", ip_address: "192.0.2.77" });
Sentry.setExtra("cookie", "canary-extra");
for (let i = 0; i < 5; i++) {
  try {
    payBasket(i);
  } catch (error) {
    Sentry.captureException(error);
  }
}
Sentry.captureMessage("the shelf is empty", "error");
for (let i = 0; i < 3; i++) Sentry.captureMessage("not this one", "error");
await Sentry.flush(10000);
await Sentry.close(10000);
console.log("sent");
