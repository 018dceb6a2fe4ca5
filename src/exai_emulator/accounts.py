"""The account behind a key: what it may use, what it owns, and what it asked before."""

from dataclasses import dataclass, field

import msgspec

from exai_emulator.tokens import PrefixCache, count_tokens

__all__ = ["Account", "AccountState"]


class AccountState(msgspec.Struct, forbid_unknown_fields=True):
    """What the control port can change about an account."""

    balance: float = 100.0
    """Money left, in the provider's currency. Nothing left means the provider's quota error."""
    plan_only: bool = False
    """GLM: a Coding Plan without balance, which the general root refuses with 1113."""
    concurrency: int | None = None
    """Most calls in flight (GLM counts them per model); None for no limit."""
    locked_models: tuple[str, ...] = ()
    """Kimi: models that are not unlocked, which answer like unknown ones."""


@dataclass(slots=True)
class Account:
    """One provider's account: the emulator has one per provider."""

    provider: str
    state: AccountState = field(default_factory=AccountState)
    cache: dict[str, PrefixCache] = field(default_factory=dict)
    """Earlier prompts by model."""
    in_flight: dict[str, int] = field(default_factory=dict)
    """Calls being answered now, by model."""
    request_ids: set[str] = field(default_factory=set)
    """GLM: the caller's own ids that were used."""

    def cached_tokens(self, model: str, prompt: str, prompt_tokens: int) -> int:
        """Tokens of the longest beginning that `prompt` shares with an earlier one; it is remembered."""
        cache = self.cache.get(model)
        if cache is None:
            cache = self.cache[model] = PrefixCache()
        shared = cache.shared_prefix(prompt)
        return prompt_tokens if len(shared) == len(prompt) else min(count_tokens(shared), prompt_tokens)

    def reset(self) -> None:
        """As it was at the start."""
        self.state = AccountState()
        self.cache.clear()
        self.request_ids.clear()
