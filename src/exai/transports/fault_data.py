"""What `data` of a JSON-RPC error says of a fault, by whichever door it is answered."""

from typing import Any

from exai.errors import ExaiError, ScopeMissing

__all__ = ["fault_data"]


def fault_data(fault: ExaiError) -> dict[str, Any]:
    """Return a fault's code, whether asking again may help, and the scope that would allow it where one is missing."""
    data: dict[str, Any] = {"code": fault.code, "retryable": fault.retryable}
    if isinstance(fault, ScopeMissing):
        data["scope"] = fault.scope
    return data
