"""What is wrong with what a workspace is asked."""

from exai.errors import BadArguments, ToolFault

__all__ = ["NotARepository", "WorkspaceFailed"]


class NotARepository(BadArguments):
    """The workspace is in no repository whose change could be read."""

    code = "not_a_repository"


class WorkspaceFailed(ToolFault):
    """The process that reads a workspace cannot start, or has a defect."""

    code = "workspace_failed"
    http_status = 500
    fixable_by = "operator"
