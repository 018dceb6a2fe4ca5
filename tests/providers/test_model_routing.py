"""A model that is named answers or is refused; only `auto` chooses."""

from typing import Any

import pytest

from exai import config
from exai.clock import SystemClock
from exai.errors import AbilityMissing, ProviderUnconfigured, StartFault, UnknownModel
from exai.messages import Effort
from exai.providers.routing import Roster

LOCAL = {"local": {"base_url": "http://127.0.0.1:9/v1", "models": [{"name": "Org/Tiny", "images": True}]}}


def roster(
    *,
    glm: dict[str, Any] | None = None,
    kimi: dict[str, Any] | None = None,
    custom: Any = None,
    **models: Any,
) -> Roster:
    providers = config.Providers.model_validate(
        {"glm": glm or {}, "kimi": kimi or {}, "custom": custom or {}}
    )
    return Roster.from_settings(providers, config.Models(**models), config.Timeouts(), SystemClock())


GLM = {"api_key": "id.secret"}
KIMI = {"api_key": "sk-kimi"}
BOTH = {"glm": GLM, "kimi": KIMI}


def test_all_providers_are_known_configured_or_not() -> None:
    providers = roster(glm=GLM, kimi={"api_key": "  "}, custom=LOCAL).providers
    assert {name: provider.configured for name, provider in providers.items()} == {
        "glm": True,
        "kimi": False,
        "local": True,
    }
    assert list(providers["local"].models) == ["local/Org/Tiny"]
    assert "glm-5.3" in providers["glm"].models
    assert "glm-5.3" not in providers["kimi"].models


@pytest.mark.parametrize("name", ["glm-4.7", "GLM-4.7", "kimi-k2.6", "local/org/tiny"])
def test_a_named_model_is_taken_without_a_word(name: str) -> None:
    choice = roster(**BOTH, custom=LOCAL).resolve(name)
    assert choice.model.name.casefold() == name.casefold()
    assert (choice.model_requested, choice.reason) == (name, None)


def test_aliases_and_successors_say_why() -> None:
    alias = roster(**BOTH).resolve("glm")
    assert alias.model.name == "glm-5.3"
    assert alias.reason == "glm is another name of glm-5.3."
    successor = roster(**BOTH).resolve("kimi-k2-turbo-preview")
    assert successor.model.name == "kimi-k2.6"
    assert "retired on 2026-05-25" in (successor.reason or "")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("moonshot-v1-8k", "Use kimi-k2.6 instead"),
        ("glm-5.33", "glm-5.3"),
        ("gpt-5", "no model 'gpt-5'"),
        ("local/other", "local/Org/Tiny"),
        ("", "no model ''"),
        ("x" * 10_000, "xxx..."),
    ],
)
def test_unknown_and_unreplaced_names_are_refused(name: str, says: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        roster(**BOTH, custom=LOCAL).resolve(name)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_named_model_without_a_key_names_the_setting() -> None:
    with pytest.raises(ProviderUnconfigured, match=r"KIMI_API_KEY.*providers\.kimi\.api_key"):
        roster(glm=GLM).resolve("kimi-k3")


@pytest.mark.parametrize(
    ("name", "needs", "says"),
    [
        ("glm-5.3", {"images": True}, "glm-5.3-flash"),
        ("kimi-k3", {"web_search": True}, "glm-5.3"),
        ("local/Org/Tiny", {"effort": Effort.HIGH}, "glm-5.3"),
    ],
)
def test_a_missing_ability_names_models_that_have_it(name: str, needs: dict[str, Any], says: str) -> None:
    with pytest.raises(AbilityMissing) as refused:
        roster(**BOTH, custom=LOCAL).resolve(name, **needs)
    assert says in str(refused.value)


def test_models_that_can_be_asked_are_named_first() -> None:
    with pytest.raises(AbilityMissing, match="Models that do what this call needs: kimi-k3"):
        roster(
            kimi=KIMI, glm={}, custom=LOCAL | {"other": {**LOCAL["local"], "models": [{"name": "m"}]}}
        ).resolve("other/m", images=True, effort=Effort.LOW)


@pytest.mark.parametrize(
    ("settings", "needs", "chosen"),
    [
        (BOTH, {}, "glm-5.3"),
        ({"kimi": KIMI}, {}, "kimi-k3"),
        (BOTH, {"images": True}, "kimi-k3"),
        ({"glm": GLM}, {"images": True}, "glm-5.3-flash"),
        (BOTH, {"web_search": True}, "glm-5.3"),
        (BOTH, {"images": True, "web_search": True}, "glm-5.3-flash"),
        ({"glm": {**GLM, "allowed_models": ("glm-5.3-flash",)}}, {}, "glm-5.3-flash"),
        ({"custom": LOCAL, "preferred": ("glm-5.3", "local/Org/Tiny")}, {}, "local/Org/Tiny"),
    ],
)
@pytest.mark.parametrize("requested", [None, "auto", " AUTO "])
def test_auto_takes_the_first_preferred_that_can(
    requested: str | None, settings: dict[str, Any], needs: dict[str, bool], chosen: str
) -> None:
    choice = roster(**settings).resolve(requested, **needs)
    assert choice.model.name == chosen
    assert choice.model_requested == requested
    assert "models.preferred" in (choice.reason or "")


def test_auto_without_any_key_says_which_to_set() -> None:
    with pytest.raises(ProviderUnconfigured, match=r"GLM_API_KEY.*KIMI_API_KEY"):
        roster().resolve(None)


def test_auto_does_not_reach_beyond_the_preferred() -> None:
    with pytest.raises(ProviderUnconfigured, match="local/Org/Tiny"):
        roster(custom=LOCAL).resolve("auto")
    with pytest.raises(AbilityMissing, match="glm-5v-turbo"):
        roster(**BOTH, preferred=("glm-5.3",)).resolve("auto", images=True)
    with pytest.raises(AbilityMissing, match="Leave out"):
        roster(kimi=KIMI).resolve("auto", web_search=True)


def test_a_configured_default_is_taken_or_refused_like_a_named_model() -> None:
    fixed = roster(**BOTH, default="kimi")
    choice = fixed.resolve(None)
    assert (choice.model.name, choice.model_requested) == ("kimi-k3", None)
    assert choice.reason
    with pytest.raises(AbilityMissing):
        fixed.resolve(None, web_search=True)
    assert fixed.resolve("auto").model.name == "glm-5.3"


def test_only_allowed_models_are_served() -> None:
    limited = roster(glm={**GLM, "allowed_models": ("GLM-4.7", "glm")}, kimi=KIMI)
    assert list(limited.providers["glm"].models) == ["glm-5.3", "glm-4.7"]
    with pytest.raises(UnknownModel, match=r"providers\.glm\.allowed_models"):
        limited.resolve("glm-4.6")
    without_successor = roster(kimi={**KIMI, "allowed_models": ("kimi-k3",)})
    with pytest.raises(UnknownModel, match=r"Use kimi-k2\.6"):
        without_successor.resolve("kimi-k2.5")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"default": "glm-9"}, "models.default"),
        ({"preferred": ("glm-5.3", "nonsense")}, "models.preferred"),
        ({"glm": {"allowed_models": ("glm-5.33",)}}, "Nearest: glm-5.3"),
        ({"kimi": {"allowed_models": ("glm-5.3",)}}, "no model of kimi"),
        ({"glm": {"api_key": "no-dot", "auth": "jwt"}}, "id.secret"),
        ({"glm": {"api_key": "two words"}}, "Copy it again"),
        ({"kimi": {"api_key": "line\nbreak"}}, "KIMI_API_KEY"),
        ({"custom": {"glm": LOCAL["local"]}}, "built-in"),
        ({"custom": {"x": {**LOCAL["local"], "models": []}}}, "at least one"),
        ({"custom": {"x": {**LOCAL["local"], "models": [{"name": "m"}, {"name": "m"}]}}}, "none twice"),
    ],
)
def test_impossible_settings_stop_the_start_with_a_sentence(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(StartFault) as refused:
        roster(**settings)
    assert says in str(refused.value)
    for key in ("no-dot", "two words", "line\nbreak"):
        assert key not in str(refused.value)
