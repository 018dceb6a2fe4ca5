"""`search`: which engine is asked, and the error when none can be."""

from typing import Any

import pytest

from exai import config
from exai.callers import Caller, Door
from exai.consulting.context import CallContext
from exai.consulting.results import ToolReturn
from exai.errors import AbilityMissing, ProviderUnconfigured
from exai.routing.progress import SilentProgress
from exai.routing.router import ModelRouter
from exai.runtime.clock import SystemClock
from exai.tools.arguments import parse_arguments
from exai.tools.search import PagesFound, Search
from support.scripted import asker, asking

KEYS = {"glm": {"api_key": "id.secret"}, "kimi": {"api_key": "sk-key"}}


async def search(*keys: str, **arguments: Any) -> ToolReturn[PagesFound]:
    """A search by a daemon that has these providers' keys."""
    clock = SystemClock()
    providers = config.Providers.model_validate({name: KEYS[name] for name in keys})
    router = ModelRouter.from_settings(providers, config.Models(), config.Timeouts(), clock)
    tool = Search(router).tool()
    context = CallContext("call_1", Caller.local(Door.WEBSOCKET), asker(asking(router)), SilentProgress())
    return await tool.run(parse_arguments(tool, {"query": "owls", **arguments}), context)


async def test_without_any_key_it_says_which_to_set() -> None:
    with pytest.raises(ProviderUnconfigured, match="Set KIMI_API_KEY or GLM_API_KEY"):
        await search()


async def test_a_named_engine_without_a_key_is_not_replaced() -> None:
    with pytest.raises(ProviderUnconfigured, match="No key is set for kimi"):
        await search("glm", engine="kimi")


async def test_what_no_configured_engine_can_do_says_who_could() -> None:
    with pytest.raises(AbilityMissing, match=r"GLM filters by one domain at most.*a key for Kimi"):
        await search("glm", domains=["a.example", "b.example"])
