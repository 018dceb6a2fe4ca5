"""What is wrong with an HTTP request as such, whatever it asks for."""

from exai.errors import RequestFault

__all__ = [
    "BodyRefused",
    "BodyTooLarge",
    "BodyTooSlow",
    "MediaTypeRefused",
    "MethodRefused",
    "NotOurPage",
    "TooMuchComing",
]


class BodyRefused(RequestFault):
    """The body cannot be what the route takes."""

    code = "bad_request"


class BodyTooLarge(BodyRefused):
    """More bytes were declared, or came, than the route takes."""

    http_status = 413


class BodyTooSlow(BodyRefused):
    """The sender fell behind, stopped, or took too long in all."""

    http_status = 408
    retryable = True


class MediaTypeRefused(BodyRefused):
    """The `Content-Type` is none that the route takes."""

    http_status = 415


class MethodRefused(RequestFault):
    """The path has no such method."""

    code = "method_not_allowed"
    http_status = 405


class TooMuchComing(BodyRefused):
    """What this caller, or all callers, are sending at the moment is too much to be held."""

    code = "overloaded"
    http_status = 503
    retryable = True


class NotOurPage(RequestFault):
    """A browser sends the request for a page that is not ours."""

    code = "not_our_page"
    http_status = 403
