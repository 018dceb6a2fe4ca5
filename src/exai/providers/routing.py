"""Which model answers, and who serves it. A named model answers or fails; it is never swapped."""

from collections.abc import Mapping
from dataclasses import dataclass

from exai import config
from exai.clock import Clock
from exai.messages import Effort
from exai.providers.base import Provider
from exai.providers.catalog import Model

__all__ = ["Choice", "Roster"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The model of one call."""

    model: Model
    model_requested: str | None
    """As the caller spelt it; `None` when it named none."""
    reason: str | None
    """Why `model` is not what was requested, in a sentence; `None` when it is."""


class Roster:
    """The providers of this configuration and the models they serve."""

    providers: Mapping[str, Provider]
    """All that are known, configured or not, by name."""

    @classmethod
    def from_settings(
        cls,
        providers: config.Providers,
        models: config.Models,
        timeouts: config.Timeouts,
        clock: Clock,
    ) -> "Roster":
        """Build every provider. Needs no running event loop; connections are opened on the first call.

        Raises:
            StartFault: a setting names a model that does not exist or makes a provider impossible.
        """
        raise NotImplementedError

    def resolve(
        self,
        requested: str | None,
        *,
        images: bool = False,
        web_search: bool = False,
        effort: Effort | None = None,
    ) -> Choice:
        """The model for a call that needs these abilities.

        `None` takes `models.default`; `auto` the first of `models.preferred` that can
        be asked and has the abilities. `effort` above `none` asks for a model that thinks.

        Raises:
            UnknownModel: no such model, a retired one without a stand-in, or one that is switched off.
            AbilityMissing: the model cannot do what the call needs.
            ProviderUnconfigured: no key is set for its provider.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of every provider's connections."""
        raise NotImplementedError
