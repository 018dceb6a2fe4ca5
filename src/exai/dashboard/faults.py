"""What the routes of the dashboard refuse, beside what every port does."""

from exai.errors import RequestFault

__all__ = ["UnknownCall", "UnknownObservation", "UnknownTopic"]


class UnknownTopic(RequestFault):
    """The feed has no such topic."""

    code = "unknown_topic"
    http_status = 404


class UnknownCall(RequestFault):
    """The journal has no such call."""

    code = "unknown_call"
    http_status = 404


class UnknownObservation(RequestFault):
    """The auditor has no such observation."""

    code = "unknown_observation"
    http_status = 404
