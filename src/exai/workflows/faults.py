"""What can be wrong with a call that goes on with stored work."""

from exai.errors import ToolFault

__all__ = ["UnknownPlan"]


class UnknownPlan(ToolFault):
    """The caller has no such plan; another owner's is answered alike."""

    code = "unknown_plan"
    http_status = 404
    fixable_by = "caller"
