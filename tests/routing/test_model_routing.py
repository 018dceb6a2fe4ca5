"""A model that is named answers or is refused; only `auto` chooses."""

from typing import Any

import pytest

from exai import config
from exai.errors import AbilityMissing, ProviderUnconfigured, StartFault, UnknownModel
from exai.messages import Effort
from exai.routing.router import Choice, ModelRouter
from exai.runtime.clock import SystemClock

LOCAL: dict[str, Any] = {
    "local": {"base_url": "http://127.0.0.1:9/v1", "models": [{"name": "Org/Tiny", "images": True}]}
}


def router(
    *,
    glm: dict[str, Any] | None = None,
    kimi: dict[str, Any] | None = None,
    custom: Any = None,
    failing: tuple[str, ...] = (),
    **models: Any,
) -> ModelRouter:
    providers = config.Providers.model_validate(
        {"glm": glm or {}, "kimi": kimi or {}, "custom": custom or {}}
    )
    return ModelRouter.from_settings(
        providers,
        config.Models(**models),
        config.Timeouts(),
        SystemClock(),
        available=lambda _, model: model not in failing,
    )


GLM = {"api_key": "id.secret"}
KIMI = {"api_key": "sk-kimi"}
BOTH: dict[str, Any] = {"glm": GLM, "kimi": KIMI}


def test_all_providers_are_known_configured_or_not() -> None:
    providers = router(glm=GLM, kimi={"api_key": "  "}, custom=LOCAL).providers
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
    choice = router(**BOTH, custom=LOCAL).resolve(name)
    assert choice.model.name.casefold() == name.casefold()
    assert (choice.model_requested, choice.reason) == (name, None)


def test_aliases_and_successors_say_why() -> None:
    alias = router(**BOTH).resolve("glm")
    assert alias.model.name == "glm-5.3"
    assert alias.reason == "glm is another name of glm-5.3."
    successor = router(**BOTH).resolve("kimi-k2-turbo-preview")
    assert successor.model.name == "kimi-k2.6"
    assert "retired on 2026-05-25" in (successor.reason or "")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("moonshotai/kimi-k3", "kimi-k3"),
        ("moonshot/kimi-k3", "kimi-k3"),
        ("openrouter/moonshotai/Kimi-K3", "kimi-k3"),
        ("z-ai/glm-5.3", "glm-5.3"),
        ("zai/glm-5.3", "glm-5.3"),
        ("zai-org/GLM-5.3", "glm-5.3"),
        (" z-ai/glm-5.2[1m] ", "glm-5.2"),
        ("moonshotai/kimi-k2-0905", "kimi-k2.6"),
    ],
)
def test_a_vendor_before_the_name_is_taken(name: str, found: str) -> None:
    both = router(**BOTH)
    choice = both.resolve(name, fallback=[name])
    assert choice.model.name == found
    assert choice.reason is not None
    assert router(**BOTH, preferred=(name,)).resolve("auto").model.name == found


@pytest.mark.parametrize(
    "name",
    [
        "openai/glm-5.3",
        "moonshotai/glm-5.3",
        "z-ai/kimi-k3",
        "z-ai/glm-5.3:free",
        "a/z-ai/glm-5.3",
        "/glm-5.3",
    ],
)
def test_another_vendor_or_route_is_not_taken(name: str) -> None:
    with pytest.raises(UnknownModel, match="Nearest: "):
        router(**BOTH).resolve(name)


def test_suggestions_are_models_that_answer() -> None:
    for name in ("moonshotai/kimi-k9", "moonshot-v1-9k", "kimi-k2-thinkin", "glm-5.33"):
        for settings in ({"kimi": KIMI}, BOTH, {"kimi": {**KIMI, "allowed_models": ("kimi-k3",)}}):
            served = router(**settings)
            with pytest.raises(UnknownModel) as refused:
                served.resolve(name)
            _, _, near = str(refused.value).partition("Nearest: ")
            for each in near.rstrip(".").split(", ") if near else ():
                assert served.resolve(each).model.name == each


def test_the_name_at_a_gateway_is_taken_where_only_the_gateway_has_a_key() -> None:
    row = {**LOCAL["local"], "models": [{"name": "z-ai/glm-5.3"}, {"name": "qwen3"}]}
    gateway: dict[str, Any] = {"custom": {"gate": row}}
    assert router(**gateway).resolve("z-ai/glm-5.3").model.name == "gate/z-ai/glm-5.3"
    assert router(**gateway).resolve("qwen3").model.name == "gate/qwen3"
    assert router(**BOTH, **gateway).resolve("z-ai/glm-5.3").model.name == "glm-5.3"
    with pytest.raises(UnknownModel):
        router(custom={"gate": row, "other": row}).resolve("qwen3")


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
        router(**BOTH, custom=LOCAL).resolve(name)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_named_model_without_a_key_names_the_setting() -> None:
    with pytest.raises(ProviderUnconfigured, match=r"KIMI_API_KEY.*providers\.kimi\.api_key"):
        router(glm=GLM).resolve("kimi-k3")


@pytest.mark.parametrize(
    ("name", "needs", "says"),
    [
        ("glm-5.3", {"images": True}, "glm-5.3-flash"),
        ("glm-4.6v", {"web_search": True}, "glm-5.3"),
    ],
)
def test_a_missing_ability_names_models_that_have_it(name: str, needs: dict[str, Any], says: str) -> None:
    with pytest.raises(AbilityMissing) as refused:
        router(**BOTH, custom=LOCAL).resolve(name, **needs)
    assert says in str(refused.value)


def test_an_effort_is_a_wish_and_refuses_no_model_that_was_named() -> None:
    settings = {**BOTH, "custom": LOCAL, "preferred": ("local/Org/Tiny", "glm-5.3")}
    assert router(**settings).resolve("local/Org/Tiny", effort=Effort.HIGH).model.name == "local/Org/Tiny"
    assert router(**settings).resolve("auto", effort=Effort.HIGH).model.name == "glm-5.3"
    assert router(**settings).resolve("auto", effort=Effort.NONE).model.name == "local/Org/Tiny"


def test_models_that_can_be_asked_are_named_first() -> None:
    with pytest.raises(AbilityMissing, match="Models that do what this call needs: kimi-k3"):
        router(
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
        (BOTH, {"images": True, "web_search": True}, "kimi-k3"),
        ({"kimi": KIMI}, {"web_search": True}, "kimi-k3"),
        ({"glm": {**GLM, "allowed_models": ("glm-5.3-flash",)}}, {}, "glm-5.3-flash"),
        ({"custom": LOCAL, "preferred": ("glm-5.3", "local/Org/Tiny")}, {}, "local/Org/Tiny"),
    ],
)
@pytest.mark.parametrize("requested", [None, "auto", " AUTO "])
def test_auto_takes_the_first_preferred_that_can(
    requested: str | None, settings: dict[str, Any], needs: dict[str, Any], chosen: str
) -> None:
    choice = router(**settings).resolve(requested, **needs)
    assert choice.model.name == chosen
    assert choice.model_requested == requested
    assert "models.preferred" in (choice.reason or "")


def test_auto_without_any_key_says_which_to_set() -> None:
    with pytest.raises(ProviderUnconfigured, match=r"GLM_API_KEY.*KIMI_API_KEY"):
        router().resolve(None)


def test_auto_does_not_reach_beyond_the_preferred() -> None:
    with pytest.raises(ProviderUnconfigured, match="local/Org/Tiny"):
        router(custom=LOCAL).resolve("auto")
    with pytest.raises(AbilityMissing, match="glm-5v-turbo"):
        router(**BOTH, preferred=("glm-5.3",)).resolve("auto", images=True)
    with pytest.raises(AbilityMissing, match="Leave out"):
        router(custom=LOCAL, preferred=("local/Org/Tiny",)).resolve("auto", web_search=True)


def test_a_configured_default_is_taken_or_refused_like_a_named_model() -> None:
    fixed = router(**BOTH, default="glm")
    choice = fixed.resolve(None)
    assert (choice.model.name, choice.model_requested) == ("glm-5.3", None)
    assert choice.reason
    with pytest.raises(AbilityMissing):
        fixed.resolve(None, images=True)
    assert fixed.resolve("auto").model.name == "glm-5.3"


def test_only_allowed_models_are_served() -> None:
    limited = router(glm={**GLM, "allowed_models": ("GLM-4.7", "glm")}, kimi=KIMI)
    assert list(limited.providers["glm"].models) == ["glm-5.3", "glm-4.7"]
    with pytest.raises(UnknownModel, match=r"providers\.glm\.allowed_models"):
        limited.resolve("glm-4.6")
    without_successor = router(kimi={**KIMI, "allowed_models": ("kimi-k3",)})
    with pytest.raises(UnknownModel, match=r"successor kimi-k2\.6 is switched off here.*Nearest: kimi-k3"):
        without_successor.resolve("kimi-k2.5")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"default": "glm-9"}, "models.default"),
        ({"preferred": ("glm-5.3", "nonsense")}, "models.preferred"),
        ({"chains": [{"model": "glm-5.3", "then": ["nonsense"]}]}, "models.chains"),
        ({"chains": [{"model": "nonsense", "then": ["glm-5.3"]}]}, "models.chains"),
        ({"chains": [{"model": name, "then": ["kimi-k3"]} for name in ("glm", "glm-5.3")]}, "two chains"),
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
        router(**settings)
    assert says in str(refused.value)
    for key in ("no-dot", "two words", "line\nbreak"):
        assert key not in str(refused.value)


def names(choice: Choice) -> list[str]:
    return [choice.model.name, *(model.name for model in choice.fallbacks)]


def test_a_named_model_has_no_fallback_by_default() -> None:
    assert names(router(**BOTH).resolve("glm-5.3")) == ["glm-5.3"]
    assert names(router(**BOTH, default="glm-5.3").resolve(None)) == ["glm-5.3"]


def test_the_calls_own_list_counts_before_a_chain_and_a_chain_before_auto() -> None:
    chains = [{"model": "glm", "then": ["glm-4.7", "kimi", "glm-5.3", "kimi-k3"], "content_filter": True}]
    chained = router(**BOTH, chains=chains)
    by_chain = chained.resolve("glm-5.3")
    assert names(by_chain) == ["glm-5.3", "glm-4.7", "kimi-k3"]
    assert (by_chain.consent, by_chain.filtered_too) == ("models.chains", True)
    assert names(chained.resolve("auto")) == ["glm-5.3", "glm-4.7", "kimi-k3"]
    by_call = chained.resolve("glm-5.3", fallback=["kimi-k2.6", "glm"])
    assert names(by_call) == ["glm-5.3", "kimi-k2.6"]
    assert (by_call.consent, by_call.filtered_too) == ("fallback_models of the call", False)
    for requested in ("glm-5.3", "auto", None):
        assert names(chained.resolve(requested, fallback=[])) == ["glm-5.3"]
    with pytest.raises(UnknownModel, match="kimi-k3"):
        chained.resolve("glm-5.3", fallback=["kimi-k33"])


def test_a_chain_skips_what_is_switched_off() -> None:
    chains = [{"model": "glm-5.3", "then": ["kimi-k3", "kimi-k2.6"]}]
    limited = router(glm=GLM, kimi={**KIMI, "allowed_models": ("kimi-k2.6",)}, chains=chains)
    assert names(limited.resolve("glm-5.3")) == ["glm-5.3", "kimi-k2.6"]


def test_the_conversations_own_model_may_be_taken_over_where_auto_is_the_default() -> None:
    kept = router(**BOTH).resolve("kimi-k3", kept=True)
    assert names(kept) == ["kimi-k3", "glm-5.3", "glm-5.3-flash", "kimi-k2.6"]
    assert (kept.model_requested, kept.consent) == (None, "leaving the choice to auto")
    assert "keeps its own" in (kept.reason or "")
    assert names(router(**BOTH, default="glm-5.3").resolve("kimi-k3", kept=True)) == ["kimi-k3"]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("order", ["glm-5.3", "kimi-k3", "glm-5.3-flash", "kimi-k2.6"]),
        ("price", ["glm-5.3-flash", "kimi-k2.6", "glm-5.3", "kimi-k3"]),
        ("window", ["kimi-k3", "glm-5.3-flash", "glm-5.3", "kimi-k2.6"]),
    ],
)
def test_auto_goes_by_what_the_operator_chose(by: str, expected: list[str]) -> None:
    choice = router(**BOTH, auto_by=by).resolve("auto")
    assert names(choice) == expected
    assert choice.consent == "leaving the choice to auto"
    assert "models.preferred" in (choice.reason or "")


def test_an_unknown_price_is_not_a_low_one() -> None:
    choice = router(**BOTH, auto_by="price", preferred=("glm-4.6v", "kimi-k3")).resolve("auto")
    assert names(choice) == ["kimi-k3", "glm-4.6v"]


def test_auto_passes_over_what_fails_now_and_keeps_it_for_the_last() -> None:
    choice = router(**BOTH, failing=("glm-5.3", "glm-5.3-flash")).resolve("auto")
    assert names(choice) == ["kimi-k3", "kimi-k2.6", "glm-5.3", "glm-5.3-flash"]
    assert "because they fail: glm-5.3, glm-5.3-flash" in (choice.reason or "")
    nobody = router(kimi=KIMI, failing=("kimi-k3", "kimi-k2.6")).resolve("auto")
    assert names(nobody) == ["kimi-k3", "kimi-k2.6"]
    assert router(**BOTH, failing=("glm-5.3",)).resolve("glm-5.3").model.name == "glm-5.3"


def test_askable_models_are_the_preferred_ones_first() -> None:
    names = [model.name for model in router(**BOTH, preferred=("kimi-k3", "glm-5.3")).askable]
    assert names[:2] == ["kimi-k3", "glm-5.3"]
    assert len(names) == len(set(names)) > 4
    assert {model.provider for model in router(glm=GLM).askable} == {"glm"}


def test_the_family_of_a_model_is_who_made_it_wherever_it_is_served() -> None:
    rows = [{"name": name} for name in ("z-ai/glm-5.3", "meta/llama-5", "tiny", "kimi-k2")]
    served = router(
        **BOTH, custom={"gate": {"base_url": "http://127.0.0.1:1/v1", "api_key": "x", "models": rows}}
    )
    families = {model.wire_name: served.family(model) for model in served.askable}
    assert families["glm-5.3"] == families["z-ai/glm-5.3"] == "glm"
    assert families["kimi-k3"] == families["kimi-k2"] == "kimi"
    assert (families["meta/llama-5"], families["tiny"]) == ("meta", "gate")
