"""Looks up whether patches of the investigator apply: in memory, against the release's commit."""

from exai.error_tracking.investigation.bundle import EvidenceBundle
from exai.error_tracking.investigation.patches import problems_of_paths
from exai.error_tracking.investigation.report import PatchCheck
from exai.errors import ToolFault
from exai.evidence.requests import Opening
from exai.evidence.workspace import Workspace

__all__ = ["CommitPatches"]


class CommitPatches:
    """See `PatchChecker`: a process that may read the repository alone, and writes nothing."""

    async def check(self, bundle: EvidenceBundle, patch: str) -> PatchCheck:
        """See `PatchChecker.check`."""
        if not bundle.repository or not bundle.commit:
            return _refused("", "No repository with the release's commit is known, so it was not checked.")
        workspace = Workspace(Opening(folder=bundle.repository, roots=(bundle.repository,)))
        try:
            checked = await workspace.check_patch(patch, rev=bundle.commit)
        except ToolFault as fault:
            return _refused(bundle.commit, str(fault))
        finally:
            await workspace.close()
        problems = [each.text() for each in checked.problems]
        problems += problems_of_paths([file.path for file in checked.files])
        problems += [f"{path} is no Python afterwards." for path in checked.broken]
        applies = not checked.problems
        has_python = any(file.path.endswith(".py") for file in checked.files)
        parses = not checked.broken if applies and has_python else None
        return PatchCheck(
            applies=applies and len(problems) == len(checked.broken),
            parses=parses,
            commit=bundle.commit,
            repository=bundle.repository,
            problems=tuple(problems),
        )


def _refused(commit: str, why: str) -> PatchCheck:
    return PatchCheck(applies=False, parses=None, commit=commit, problems=(why,))
