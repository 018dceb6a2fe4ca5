"""HTTP requests of whoever holds an upload ticket; the ticket is all that lets them in."""

from collections.abc import Iterator

import msgspec
from starlette.responses import JSONResponse, Response

from exai import config
from exai.auth.attempts import Attempts
from exai.files.faults import LengthWrong, UnknownTicket
from exai.files.store.entries import entry_of
from exai.files.store.tickets import UploadTickets
from exai.transports.files.door import declared_length
from exai.transports.files.form import FORM_BYTES, FileForm
from exai.web.bodies import StreamedBody
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route
from exai.web.unauthenticated import note_authenticated

__all__ = ["TicketDoor"]


class TicketDoor:
    """Answers `/files/tickets/{ticket}`."""

    def __init__(self, tickets: UploadTickets, attempts: Attempts, settings: config.Files) -> None:
        """`attempts` counts tickets that are not good by address."""
        self._tickets = tickets
        self._attempts = attempts
        self._settings = settings

    def routes(self) -> Iterator[Route]:
        """Yield the row."""
        body = StreamedBody(self._settings.max_upload_bytes + FORM_BYTES)
        yield Route(("POST",), "/files/tickets/{ticket}", self.post, is_open=True, body=body)

    async def post(self, request: AuthorizedRequest) -> Response:
        """Store the file of a form. What can be refused by the request's head spends no ticket."""
        try:
            ticket = await self._tickets.find(request.params["ticket"])
        except UnknownTicket:
            self._attempts.refused(request.address)
            raise
        declared = declared_length(request, self._settings.max_upload_bytes, FORM_BYTES)
        if ticket.bytes is not None and not ticket.bytes <= declared <= ticket.bytes + FORM_BYTES:
            raise LengthWrong(f"The ticket is for a file of {ticket.bytes} bytes; send that one.")
        content_type = next((value for name, value in request.headers if name == b"content-type"), b"")
        form = FileForm(content_type, request.streamed_body())
        note_authenticated(request.scope)
        await form.open()
        row = await self._tickets.redeem(ticket, form.name, declared, form.content())
        return JSONResponse(
            msgspec.to_builtins(entry_of(row)), 201, headers={"x-content-type-options": "nosniff"}
        )
