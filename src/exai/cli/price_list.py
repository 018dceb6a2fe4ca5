"""The list prices from which costs are calculated, as a table and as JSON."""

from typing import Any

from exai.routing.router import ModelRouter

__all__ = ["price_list", "table"]

CURRENCY = "USD"
COLUMNS = ("input", "cached_input", "cache_write", "output")
HEADINGS = ("input", "cached", "to cache", "output")


def price_list(router: ModelRouter) -> dict[str, Any]:
    """Collect the prices of every model, and the fees of the providers' services."""
    models = [model for provider in router.providers.values() for model in provider.models.values()]
    return {
        "currency": CURRENCY,
        "models": [
            {
                "model": model.name,
                "provider": model.provider,
                **{name: None if model.price is None else getattr(model.price, name) for name in COLUMNS},
                "free": model.price is not None and model.price.free,
                "checked": None if model.price is None else model.price.checked,
            }
            for model in models
        ],
        "fees": [
            {
                "provider": fee.provider,
                "service": fee.service,
                "each": fee.usd,
                "for": fee.name,
                "checked": fee.checked,
            }
            for fee in router.fees
        ],
    }


def table(prices: dict[str, Any]) -> str:
    """Format the price list for people."""
    width = max(len(row["model"]) for row in prices["models"])
    lines = [
        f"List prices in {prices['currency']} per million tokens, as they were on the day given. -: not known.",
        "",
        f"{'model':<{width}} {' '.join(f'{heading:>8}' for heading in HEADINGS)}   as of",
    ]
    for row in prices["models"]:
        known = ["free"] * len(COLUMNS) if row["free"] else [_dollars(row[name]) for name in COLUMNS]
        lines.append(
            f"{row['model']:<{width}} {' '.join(f'{price:>8}' for price in known)}   {row['checked'] or '-'}"
        )
    lines += ["", f"Fees in {prices['currency']} beside tokens, each. -: not known.", ""]
    for fee in prices["fees"]:
        each = "free" if fee["each"] == 0 else _dollars(fee["each"])
        lines.append(f"{fee['provider']:<8} {fee['service']:<12} {each:>8}   {fee['checked']}   {fee['for']}")
    return "\n".join(lines)


def _dollars(price: float | None) -> str:
    return "-" if price is None else f"{price:.3f}".removesuffix("0")
