"""The older names of the tools that had tests and documentation written step by step."""

from collections.abc import Mapping
from typing import Any

from exai.errors import BadArguments
from exai.tools.aliases import STEPWISE, Alias
from exai.tools.normalizing import is_blank

__all__ = ["WRITERS"]

STEPS = (STEPWISE - {"temperature"}) | {"use_assistant_model", "use_websearch"}
COUNTS = frozenset(
    {
        "document_complexity",
        "document_flow",
        "update_existing",
        "comments_on_complex_logic",
        "num_files_documented",
        "total_files_to_document",
    }
)


def _check(given: Mapping[str, Any]) -> None:
    if is_blank(given.get("relevant_files")) and is_blank(given.get("paths")):
        raise BadArguments(
            "Argument 'relevant_files': name the files that it is about. All of the work is one call here, and its "
            "answer is a patch; no further steps are needed."
        )


WRITERS = (
    Alias(
        "testgen",
        renames={"relevant_files": "paths"},
        joins={"instructions": ("step",)},
        presets={"kind": "tests"},
        ignored=STEPS,
        check=_check,
    ),
    Alias(
        "docgen",
        renames={"relevant_files": "paths"},
        joins={"instructions": ("step",)},
        presets={"kind": "docs"},
        ignored=STEPS | COUNTS,
        check=_check,
    ),
)
"""They become `write`, which finds by itself what the steps of an older call report."""
