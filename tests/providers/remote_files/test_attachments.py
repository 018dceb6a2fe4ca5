"""Which files a model is shown as they are, by the rows of the catalogue."""

import pytest

from exai.errors import AbilityMissing
from exai.messages import Attachment
from exai.providers.catalog import Catalog, Model
from exai.providers.remote_files.attachments import refuse_attachments
from exai.providers.remote_files.stored_source import StoredSource

MODELS = Catalog.load().models


def attached(kind: str, count: int) -> list[Attachment]:
    source = StoredSource.__new__(StoredSource)
    return [Attachment(f"{number}.{kind}", kind, source) for number in range(count)]


def takes(model: Model, kind: str, count: int = 1) -> bool:
    try:
        refuse_attachments(attached(kind, count), model)
    except AbilityMissing:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "able"),
    [
        ("mp4", {name for name, model in MODELS.items() if model.provider == "kimi" and model.images}),
        ("pdf", {name for name, model in MODELS.items() if model.provider == "glm" and model.images}),
        ("zip", set()),
        ("matroska", set()),
    ],
)
def test_models_that_see_are_shown_what_their_provider_documents(kind: str, able: set[str]) -> None:
    assert {name for name, model in MODELS.items() if takes(model, kind)} == able


def test_more_files_than_a_request_may_have_are_refused() -> None:
    model = MODELS["glm-5.3-flash"]
    assert takes(model, "pdf", 50)
    assert not takes(model, "pdf", 51)
    with pytest.raises(AbilityMissing, match="at most 50 files"):
        refuse_attachments(attached("pdf", 51), model)


def test_each_provider_says_where_its_limits_are_documented() -> None:
    for dialect in Catalog.load().files.values():
        assert dialect.source
        assert dialect.checked >= "2026-11-22"
        for part in dialect.parts:
            assert part.max_bytes <= dialect.purposes[part.purpose].max_bytes
