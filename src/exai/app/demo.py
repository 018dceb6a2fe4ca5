"""The demonstration: the bundled provider emulator in place of the providers, and every answer says so.

The only module that knows the emulator.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import HttpUrl, SecretStr

from exai.config import Settings
from exai_emulator import EmulatorOptions, running

__all__ = ["emulated_providers"]


@asynccontextmanager
async def emulated_providers(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with GLM and Kimi answered by an emulator that lives as long as this scope."""
    async with running(EmulatorOptions()) as emulator:
        there = emulator.addresses
        providers = settings.providers
        yield settings.model_copy(
            update={
                "providers": providers.model_copy(
                    update={
                        "glm": providers.glm.model_copy(
                            update={"base_url": HttpUrl(there.glm), "api_key": SecretStr(there.glm_key)}
                        ),
                        "kimi": providers.kimi.model_copy(
                            update={"base_url": HttpUrl(there.kimi), "api_key": SecretStr(there.kimi_key)}
                        ),
                    }
                )
            }
        )
