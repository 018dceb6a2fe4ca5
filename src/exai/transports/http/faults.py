"""How `/mcp` says over HTTP that it refuses a request: by a JSON-RPC error."""

from starlette.responses import JSONResponse

from exai.auth.revocation_state import EndReason
from exai.errors import ExaiError, RequestFault, Unauthenticated
from exai.protocol.jsonrpc import INTERNAL_ERROR, INVALID_REQUEST, RequestId, error_message
from exai.transports.fault_data import fault_data

__all__ = ["TooManySessions", "ended_credential", "rpc_fault"]


class TooManySessions(RequestFault):
    """The caller may not begin another session."""

    code = "too_many_sessions"
    http_status = 429
    rpc_code = INVALID_REQUEST


def ended_credential(reason: EndReason) -> Unauthenticated:
    """Make the error of a request whose caller's credential has ended."""
    what = "has expired" if reason == "expired" else "was revoked"
    return Unauthenticated(
        f"The token {what} while this was under way. Come back with another one.", presented=True
    )


def rpc_fault(fault: ExaiError, request_id: RequestId | None = None) -> JSONResponse:
    """Put a fault into a JSON-RPC error, with the status of its class."""
    code = fault.rpc_code if isinstance(fault, RequestFault) else INTERNAL_ERROR
    return JSONResponse(
        error_message(request_id, code, str(fault), fault_data(fault)), status_code=fault.http_status
    )
