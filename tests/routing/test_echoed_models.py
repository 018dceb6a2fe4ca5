"""What makes another model of a name that a provider reports, and what does not."""

import pytest

from exai.routing.echoed_models import is_other_model


@pytest.mark.parametrize(
    "reported",
    [
        "glm-5.3",
        "GLM-5.3",
        "z-ai/glm-5.3",
        "glm-5.3-20261104",
        "glm-5.3-2026-11-04",
        "glm-5.3:free",
        "",
        "wire",
    ],
)
def test_another_spelling_is_no_other_model(reported: str) -> None:
    assert not is_other_model(("glm-5.3", "maker/Wire"), reported)


@pytest.mark.parametrize("reported", ["glm-5.3-flash", "glm-4.6", "glm-5", "kimi-k3", "z-ai/glm-5.3-air"])
def test_another_name_is(reported: str) -> None:
    assert is_other_model(("glm-5.3", "maker/Wire"), reported)


def test_a_model_whose_own_name_ends_in_a_version_is_itself() -> None:
    assert not is_other_model(("kimi-k2-0905",), "kimi-k2-0905")
    assert not is_other_model(("kimi-k2-turbo-preview",), "kimi-k2-turbo-preview")
