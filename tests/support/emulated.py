"""The environment of a daemon that asks an emulator."""

from exai_emulator import Emulator

__all__ = ["provider_environment"]


def provider_environment(emulator: Emulator) -> dict[str, str]:
    """Return the keys and addresses of its GLM and Kimi."""
    there = emulator.addresses
    return {
        "GLM_API_KEY": there.glm_key,
        "KIMI_API_KEY": there.kimi_key,
        "EXAI_PROVIDERS__GLM__BASE_URL": there.glm,
        "EXAI_PROVIDERS__KIMI__BASE_URL": there.kimi,
    }
