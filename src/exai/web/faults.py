"""What is wrong with an HTTP request as such, whatever it asks for."""

from exai.errors import RequestFault

__all__ = ["BodyRefused", "BodyTooLarge", "BodyTooSlow", "MediaTypeRefused", "NotOurPage"]


class BodyRefused(RequestFault):
    """The body cannot be what the route takes."""

    code = "bad_request"


class BodyTooLarge(BodyRefused):
    """More bytes were declared, or came, than the route takes."""

    http_status = 413


class BodyTooSlow(BodyRefused):
    """The sender fell behind, stopped, or took too long in all."""

    http_status = 408


class MediaTypeRefused(BodyRefused):
    """The `Content-Type` is none that the route takes."""

    http_status = 415


class NotOurPage(RequestFault):
    """A browser sends the request for a page that is not ours."""

    code = "not_our_page"
    http_status = 403
