"""`models`: the list is built once per change, and says every change."""

from exai import config
from exai.monitoring.provider_health import ProviderHealth
from exai.routing.breaker import Breakers
from exai.routing.router import ModelRouter
from exai.runtime.clock import SystemClock
from exai.storage.conversations.calibrations import Calibration
from exai.tools.envelope import answer_of
from exai.tools.models import Models
from exai.tools.system_report import ModelStates


def models_with(learnt: dict[str, Calibration]) -> Models:
    clock = SystemClock()
    providers = config.Providers.model_validate({"glm": {"api_key": "id.secret"}})
    router = ModelRouter.from_settings(providers, config.Models(), config.Timeouts(), clock)
    breakers = Breakers(config.Breaker(), clock, lambda _: None)
    return Models(ModelStates(router, ProviderHealth(clock), breakers, learnt.get))


def test_the_list_is_the_same_until_something_changes() -> None:
    learnt: dict[str, Calibration] = {}
    models = models_with(learnt)
    first = models.named(None)
    assert models.named(None) is first
    assert answer_of(models.named(None)) is answer_of(first)
    learnt["glm-5.3"] = Calibration(3, 100.0, 110.0, 0.3, 3.0)
    changed = models.named(None)
    assert changed is not first
    assert '"samples":3' in str(answer_of(changed).meta).replace("'", '"').replace(" ", "")
    assert '"samples":3' not in str(answer_of(first).meta).replace("'", '"').replace(" ", "")


def test_lists_of_two_providers_and_of_two_daemons_are_kept_apart() -> None:
    models, others = models_with({}), models_with({"glm-5.3": Calibration(3, 100.0, 110.0, 0.3, 3.0)})
    whole, of_kimi = models.named(None), models.named("kimi")
    assert {"glm", "kimi"} <= {provider.name for provider in whole.result.providers}
    assert [provider.name for provider in of_kimi.result.providers] == ["kimi"]
    assert answer_of(whole).structured != answer_of(of_kimi).structured
    assert answer_of(others.named(None)).meta != answer_of(models.named(None)).meta
