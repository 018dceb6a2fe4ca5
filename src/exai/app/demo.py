"""The demonstration: the bundled emulator in place of the providers, which every answer says.

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
    """Run an emulator within this scope, and return settings that have GLM and Kimi answered by it."""
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
