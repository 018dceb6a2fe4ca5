"""What can be wrong with a call that goes on with stored work."""

from exai.errors import ToolFault

__all__ = ["RunBusy", "RunFailed", "UnknownPlan", "UnknownRun"]


class UnknownPlan(ToolFault):
    """The caller has no such plan; another owner's is answered alike."""

    code = "unknown_plan"
    http_status = 404
    fixable_by = "caller"


class UnknownRun(ToolFault):
    """The caller has no such run; another owner's and an expired one are answered alike."""

    code = "unknown_run"
    http_status = 404
    fixable_by = "caller"


class RunBusy(ToolFault):
    """Another call works at the run."""

    code = "run_busy"
    http_status = 409
    retryable = True
    fixable_by = "caller"


class RunFailed(ToolFault):
    """A request of the run was made twice, and each time EXAI ended before its answer was kept."""

    code = "run_failed"
    retryable = True
    fixable_by = "operator"
