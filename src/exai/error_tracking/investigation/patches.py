"""What a patch of a model may touch; whether it applies is looked up by who has the sources."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Protocol

from exai.error_tracking.investigation.bundle import EvidenceBundle
from exai.error_tracking.investigation.report import PatchCheck

__all__ = ["MOST_LINES", "PatchChecker", "problems_of_paths", "problems_of_size"]

MOST_LINES = 200
"""Of a patch, its headers included."""

_LOCKS = frozenset(
    {
        *("package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lockb", "poetry.lock", "uv.lock"),
        *("pdm.lock", "pipfile.lock", "cargo.lock", "composer.lock", "gemfile.lock", "go.sum"),
    }
)
_WORKFLOWS = frozenset({"workflows", "jenkinsfile", "azure-pipelines.yml", "bitbucket-pipelines.yml"})


class PatchChecker(Protocol):
    """Looks up whether a patch applies to the release's commit; writes no work tree."""

    async def check(self, bundle: EvidenceBundle, patch: str) -> PatchCheck: ...


def problems_of_size(patch: str) -> list[str]:
    """Say whether a patch is too long."""
    lines = len(patch.splitlines())
    return [] if lines <= MOST_LINES else [f"It has {lines} lines; more than {MOST_LINES} are not proposed."]


def problems_of_paths(paths: Sequence[str]) -> list[str]:
    """Say which of a patch's files, relative to the repository, none may touch."""
    return [f"{ascii(path)[1:-1]}: {why}" for path in paths if (why := _refusal(path)) is not None]


def _refusal(path: str) -> str | None:
    parts = [part.casefold() for part in PurePosixPath(path).parts]
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        return "it is outside the repository"
    if any(part.startswith(".") for part in parts):
        return "files and folders that begin with a dot are not changed"
    if _WORKFLOWS & set(parts):
        return "what runs in a build is not changed"
    if parts[-1] in _LOCKS or parts[-1].endswith(".lock"):
        return "a lock of dependencies is made by its tool, not by a patch"
    if "migrations" in parts[:-1]:
        return "migrations of a database are not changed"
    return None
