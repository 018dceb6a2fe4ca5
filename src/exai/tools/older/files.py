"""Older names of tools for files, with the arguments that agents know, and why some of them are refused."""

from collections.abc import Mapping
from typing import Any

from exai.errors import BadArguments
from exai.tools.aliases import Alias
from exai.tools.normalizing import is_blank

__all__ = ["CHAT_WITH_FILES", "STORED_FILES"]

DESTINATION = (
    "Argument 'destination': EXAI writes no file for a caller. Leave it out: the answer says where the bytes "
    "are, for `curl -o`; `exai files get ID -o FILE` writes them too."
)
CLEANUP = (
    "Nothing is cleaned up by a call: what no file needs any more goes by itself after a grace, with its copies "
    "at providers. Whoever runs EXAI sees what would go by `exai files gc --dry-run`. Delete yours by their id."
)
DRY_RUN = (
    "Argument 'dry_run': a deletion is done or not. Look at the file first, by `files` with action show."
)


def _check_download(given: Mapping[str, Any]) -> None:
    if not is_blank(given.get("destination")):
        raise BadArguments(DESTINATION)


def _check_management(given: Mapping[str, Any]) -> None:
    operation = given.get("operation")
    if isinstance(operation, str) and operation.startswith("cleanup"):
        raise BadArguments(CLEANUP)
    if operation == "delete" and given.get("dry_run") not in (None, False, "", "false", "False"):
        raise BadArguments(DRY_RUN)


CHAT_WITH_FILES = (
    Alias(
        "smart_file_query",
        renames={"file_path": "absolute_file_paths", "question": "prompt"},
        fallbacks={"provider": "model"},
    ),
    Alias("kimi_chat_with_files", renames={"file_ids": "absolute_file_paths"}, presets={"model": "kimi"}),
    Alias(
        "glm_multi_file_chat",
        renames={"files": "absolute_file_paths", "file_ids": "absolute_file_paths"},
        presets={"model": "glm"},
    ),
)
"""They become `chat`, which reads texts here and uploads none. `provider` stands for its newest model."""

STORED_FILES = (
    Alias("kimi_upload_files", renames={"files": "paths"}, presets={"action": "put", "provider": "kimi"}),
    Alias("glm_upload_file", renames={"file": "path"}, presets={"action": "put", "provider": "glm"}),
    Alias(
        "supabase_upload",
        renames={"file_path": "path", "file": "path", "files": "paths"},
        presets={"action": "put"},
        ignored=frozenset({"bucket", "purpose"}),
    ),
    Alias(
        "smart_file_download",
        renames={"file_id": "id"},
        presets={"action": "show"},
        ignored=frozenset({"destination"}),
        check=_check_download,
    ),
    Alias(
        "supabase_download",
        renames={"file_id": "id"},
        presets={"action": "show"},
        ignored=frozenset({"destination", "bucket"}),
        check=_check_download,
    ),
    Alias(
        "kimi_manage_files",
        renames={"operation": "action", "file_id": "id"},
        ignored=frozenset({"limit", "dry_run"}),
        check=_check_management,
    ),
)
"""They become `files`."""
