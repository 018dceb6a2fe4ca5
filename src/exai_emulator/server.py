"""One provider over HTTP: key, body, rules, faults, answer; and the record of it all."""

import asyncio
import inspect
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
from aiohttp import web

from exai_emulator.accounts import Account, Accounts
from exai_emulator.broken import FaultyDelivery, broken_body, header_lines
from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.endpoints import EndpointRequest
from exai_emulator.faults import Fault, FaultQueue
from exai_emulator.identities import Identities, Identity
from exai_emulator.log import Charged, Outcome, RequestRecord
from exai_emulator.personas import Answer, Persona, Personas, Question, answer_of
from exai_emulator.provider import CHAT, READS_A_CALL, ProviderApi
from exai_emulator.receiving import Receiver, Receiving
from exai_emulator.rules import RuleBook
from exai_emulator.scenarios import Asked, Script, Step
from exai_emulator.shapes import function_tools
from exai_emulator.streaming import has_usage, send_stream
from exai_emulator.tool_calls import asked_for_a_query, calls_before
from exai_emulator.wire import LAST_CHUNK, Wire, WrittenResponse, chunk

__all__ = ["ProviderServer"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_GOES_ON = WrittenResponse(keep_alive=True)
_ENDS = WrittenResponse(keep_alive=False)


class ProviderServer:
    """Answers every request to one provider."""

    def __init__(
        self,
        api: ProviderApi,
        *,
        accounts: Accounts,
        receiving: Receiving,
        faults: FaultQueue,
        script: Script,
        rules: RuleBook,
        personas: Personas,
        identities: Identities,
    ) -> None:
        self._api = api
        self._accounts = accounts
        self._receiving = receiving
        self._log = receiving.log
        self._faults = faults
        self._script = script
        self._rules = rules
        self._personas = personas
        self._identities = identities

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request and record how it ended."""
        wire = Wire(request)
        record = self._log.arrived(
            self._api.name, request.method, request.rel_url.raw_path, request.raw_headers, wire.peer_port
        )
        record.query = request.rel_url.raw_query_string
        outcome: Outcome = "failed"
        body = self._receiving.begin(request, record)
        try:
            await self._answer(body, wire, record)
            outcome = "complete" if record.fault is None else "fault"
        except ConnectionError:
            outcome = "disconnected"
            wire.keep_alive = False
        except asyncio.CancelledError:
            outcome = "disconnected"
            raise
        finally:
            body.discard()
            self._log.finished(record, outcome)
        return _GOES_ON if wire.keep_alive else _ENDS

    async def _answer(self, body: Receiver, wire: Wire, record: RequestRecord) -> None:
        api, request = self._api, body.request
        identity = self._identities.next(api.name)
        key = api.credentials(request.headers).partition(" ")[2].strip()
        fault = self._faults.take(api.name, record.path, None, key, receiving=True)
        await self._receive(body, wire, fault)
        if body.interrupted:
            return await self._end_early(body, wire, fault, identity)
        if body.too_large:
            return self._refuse(wire, record, api.too_large(record.path), identity)
        raw = _decoded(body.content)
        self._log.read(record, raw)
        wire.further_lines = header_lines(dict(api.further_headers(record.path, request.headers, identity)))
        authorization = api.credentials(request.headers)
        account, refusal = self._account_of(authorization, key)
        if refusal is not None and not api.endpoints.is_open(record.method, record.path):
            return self._refuse(wire, record, api.refused_key(record.path, refusal), identity)
        route = api.routes.get((record.method, record.path))
        if route is None:
            asked = EndpointRequest(
                path=record.path,
                named={},
                query=request.rel_url.query,
                headers=request.headers,
                form=body.form,
                json=raw,
                account=account,
                uploads=self._receiving.folder,
                identity=identity,
                answer_to=self._answer_to,
            )
            return await self._beside_the_routes(wire, record, asked, key)
        operation, root = route
        call: ChatCall | None = None
        if operation in READS_A_CALL:
            await api.read_documents(raw, account)
            call = api.read_call(raw, root, account)
            call.query = request.rel_url.query
        if call is not None and (refusal := self._rules.first_refusal(api.name, call)) is not None:
            return self._refuse(wire, record, refusal, identity)
        told = self._told(record.path, key, call, account)
        if call is not None and operation == CHAT:
            await self._chat(wire, record, call, identity, told)
        else:
            content = api.plain(operation, account, call)
            await self._plain(wire, record, content, identity, told.fault)
        return None

    def _told(self, path: str, key: str, call: ChatCall | None, account: Account) -> Step:
        """What was told in advance about this request, else the persona in force and the next fault."""
        name = self._api.name
        model = call.model_id if call is not None else None
        if self._script.is_empty:
            return Step(fault=self._faults.take(name, path, model, key))
        text = next((text for role, text in reversed(call.texts) if role == "user"), "") if call else None
        told = self._script.take(Asked(name, path, key, model, text))
        if told is None:
            told = Step(fault=self._faults.take(name, path, model, key))
        elif told.fault is not None:
            self._faults.count(name, told.fault)
        if told.advance_s:
            account.clock.advance(told.advance_s)
        return told

    def _account_of(self, authorization: str, key: str) -> tuple[Account, Refusal | None]:
        """Whose key it is, and the refusal when it is nobody's."""
        name = self._api.name
        further = self._accounts.of_key(name, key)
        if further is not None:
            return further, None
        refusal = self._rules.key_refusal(name, self._api.key_verdict(authorization))
        return self._accounts[name], refusal

    async def _end_early(self, body: Receiver, wire: Wire, fault: Fault | None, identity: Identity) -> None:
        """Answer before the body has come whole, where the fault left a connection for that."""
        wire.keep_alive = False
        if fault is None or not fault.replaces_the_answer:
            return
        status, lines, content = self._other_reply(fault, identity)
        self._send(wire, body.record, status, lines, content)
        await body.forget_rest()

    async def _receive(self, body: Receiver, wire: Wire, fault: Fault | None) -> None:
        """Receive the body; when it did not come whole, the connection is given up."""
        if "Expect" in body.request.headers:
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await body.receive(wire, fault)
        if body.broken:
            wire.keep_alive = False

    async def _chat(
        self, wire: Wire, record: RequestRecord, call: ChatCall, identity: Identity, told: Step
    ) -> None:
        model, fault = call.model_id, told.fault
        in_flight = call.account.in_flight
        in_flight[model] = in_flight.get(model, 0) + 1
        try:
            answer = self._answer_to(call, told.persona)
            if _happens(fault):
                fees = Counter(call.account.fees)
                self._api.shape(call, answer)
                record.fees = dict(call.account.fees - fees)
                call.account.charge(call.prompt_tokens + answer.tokens)
                record.charged = _charged(call, answer)
            if answer.first_byte_delay:
                await asyncio.sleep(answer.first_byte_delay)
            if fault is not None:
                await self._chat_with_fault(wire, record, call, identity, (answer, fault))
            else:
                await self._chat_whole(wire, record, call, identity, answer)
        finally:
            in_flight[model] -= 1

    def _answer_to(self, call: ChatCall, persona: Persona | None = None) -> Answer:
        """What `persona`, or the one in force, says; the call is counted, and its prompt remembered."""
        account, model = call.account, call.model_id
        account.usage.count(account.clock.now(), call.charged_tokens, on_plan=call.on_plan)
        call.cached_tokens = account.cached_tokens(model, call.prompt, call.prompt_tokens)
        return answer_of(
            persona or self._personas.of(self._api.name, model),
            Question(
                model=model,
                texts=call.texts,
                thinks=call.thinks,
                think_tokens=call.think_tokens,
                cap=call.cap,
                stop=call.stop,
                json_mode=call.json_mode,
                schema=call.schema,
                tools=any(True for _ in function_tools(call.body)),
                rounds_made=calls_before(call.messages)[0],
                query_tool=asked_for_a_query(call.body),
                messages=call.messages,
                functions=tuple(function_tools(call.body)),
                documents=[(document.name, document.text) for document in call.documents],
            ),
        )

    async def _chat_whole(
        self, wire: Wire, record: RequestRecord, call: ChatCall, identity: Identity, answer: Answer
    ) -> None:
        api = self._api
        if call.streams:
            record.status = 200
            wire.send(wire.head(200, api.headers(identity, api.stream_type, call.cached_tokens), length=None))
            await send_stream(wire, api.frames(call, answer, identity, None), answer, self._log, record)
            return
        if answer.delay_per_token:
            await asyncio.sleep(answer.delay_per_token * answer.tokens)
        body = api.body_opening + _encode(api.completion(call, answer, identity, None))
        self._send(wire, record, 200, api.headers(identity, api.json_type, call.cached_tokens), body)
        record.usage_sent = has_usage(body)
        await wire.drain()

    async def _chat_with_fault(
        self,
        wire: Wire,
        record: RequestRecord,
        call: ChatCall,
        identity: Identity,
        what: tuple[Answer, Fault],
    ) -> None:
        api = self._api
        answer, fault = what
        record.fault = fault.described()
        delivery = FaultyDelivery(wire, fault, self._log, record)
        if await delivery.before_headers():
            return
        if fault.replaces_the_answer:
            await delivery.reply(*self._other_reply(fault, identity))
            return
        answer = _changed(answer, fault)
        record.charged = _charged(call, answer)
        row = api.errors[fault.error or api.in_stream_error]
        error_body = (
            api.stream_error(row, fault.message) if call.streams else api.error_body(row, fault.message)
        )
        if call.streams:
            lines = _with_headers(api.headers(identity, api.stream_type, call.cached_tokens), fault)
            await delivery.stream(lines, api.frames(call, answer, identity, fault), answer, error_body)
            return
        await asyncio.sleep(answer.delay_per_token * answer.tokens)
        body = broken_body(api.completion(call, answer, identity, fault), fault, error_body)
        lines = _with_headers(api.headers(identity, api.json_type, call.cached_tokens), fault)
        await delivery.reply(200, lines, body)

    async def _beside_the_routes(
        self, wire: Wire, record: RequestRecord, asked: EndpointRequest, key: str
    ) -> None:
        """Answer at an endpoint; what its reply says has happened, has happened before it is sent."""
        api = self._api
        found = api.endpoints.find(record.method, record.path)
        if found is None:
            status, content = api.unknown_route(
                record.method, record.path, asked.headers.get("User-Agent", "")
            )
            lines = api.headers(asked.identity, api.json_type)
            return self._send(wire, record, status, lines, _encode(content))
        endpoint, named = found
        reply = endpoint(replace(asked, named=named))
        if inspect.isawaitable(reply):
            reply = await reply
        if isinstance(reply, Refusal):
            return self._refuse(wire, record, reply, asked.identity)
        if reply.logged is not None:
            record.body = reply.logged
        fault = self._told(record.path, key, None, asked.account).fault
        if reply.commit is not None and _happens(fault):
            fees = Counter(asked.account.fees)
            reply.commit()
            record.fees = dict(asked.account.fees - fees)
        lines = api.headers(asked.identity, reply.content_type or api.json_type)
        lines += header_lines(dict(reply.headers))
        content = reply.body if reply.content_type is not None else _encode(reply.body)
        return await self._deliver(wire, record, (reply.status, lines, content), asked.identity, fault)

    async def _plain(
        self, wire: Wire, record: RequestRecord, content: Any, identity: Identity, fault: Fault | None
    ) -> None:
        lines = self._api.headers(identity, self._api.json_type)
        await self._deliver(wire, record, (200, lines, _encode(content)), identity, fault)

    async def _deliver(
        self,
        wire: Wire,
        record: RequestRecord,
        reply: tuple[int, str, bytes],
        identity: Identity,
        fault: Fault | None,
    ) -> None:
        """Send status, header lines and body, or what the fault makes of them."""
        if fault is None:
            self._send(wire, record, *reply)
            await wire.drain()
            return
        record.fault = fault.described()
        delivery = FaultyDelivery(wire, fault, self._log, record)
        if await delivery.before_headers():
            return
        if fault.replaces_the_answer:
            await delivery.reply(*self._other_reply(fault, identity))
        else:
            status, lines, body = reply
            await delivery.reply(status, _with_headers(lines, fault), body)

    def _other_reply(self, fault: Fault, identity: Identity) -> tuple[int, str, bytes]:
        """Status, header lines and body of the reply that a fault puts in the answer's place."""
        if fault.error is not None:
            status, lines, body = self._error(Refusal(fault.error, fault.message), identity)
        else:
            status, body = fault.status or 200, fault.body.encode()
            lines = self._api.headers(identity, self._api.json_type)
        return status, _with_headers(lines, fault), body

    def _error(self, refusal: Refusal, identity: Identity) -> tuple[int, str, bytes]:
        """Status, header lines and body of a row of the provider's error table."""
        api = self._api
        row = api.errors[refusal.error]
        if row.body is not None:
            content_type, body = row.content_type, row.body.encode()
        else:
            content_type = api.json_type if refusal.content_type else None
            body = _encode(api.error_body(row, refusal.message))
        headers = dict(row.headers if refusal.headers is None else refusal.headers)
        if row.resets_in_s is not None:
            headers["X-RateLimit-Reset"] = str(int(self._accounts[api.name].clock.now()) + row.resets_in_s)
        return row.status, api.headers(identity, content_type) + header_lines(headers), body

    def _refuse(self, wire: Wire, record: RequestRecord, refusal: Refusal, identity: Identity) -> None:
        status, lines, body = self._error(refusal, identity)
        if refusal.content_type:
            return self._send(wire, record, status, lines, body)
        record.status = status
        return wire.send(wire.head(status, lines, length=None) + chunk(body) + LAST_CHUNK)

    @staticmethod
    def _send(wire: Wire, record: RequestRecord, status: int, lines: str, body: bytes) -> None:
        record.status = status
        head = wire.head(status, lines, length=len(body))
        wire.send(head if record.method == "HEAD" else head + body)


def _happens(fault: Fault | None) -> bool:
    """Whether what is asked happens, whatever becomes of the answer."""
    return fault is None or fault.takes_effect or not fault.replaces_the_answer


def _charged(call: ChatCall, answer: Answer) -> Charged:
    return Charged(
        prompt=call.prompt_tokens,
        cached=call.cached_tokens,
        cache_write=call.cache_write_tokens,
        output=answer.tokens,
        reasoning=answer.reasoning_tokens,
    )


def _with_headers(lines: str, fault: Fault) -> str:
    """Header lines with those of the fault."""
    if not fault.headers:
        return lines
    headers = dict(line.split(": ", 1) for line in lines.split("\r\n") if line)
    names = {name.lower(): name for name in headers}
    for name, value in fault.headers.items():
        headers.pop(names.get(name.lower(), name), None)
        if value is not None:
            headers[name] = value
    return header_lines(headers)


def _decoded(body: bytes) -> Any:
    try:
        return _decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_THOUGHT = "let all see "
"""Thinking, where a fault needs some and there is none."""


def _changed(answer: Answer, fault: Fault) -> Answer:
    """The answer with the fault's finish reason, content and place of the thinking."""
    if fault.finish_reason is not None:
        answer = replace(answer, finish_reason=fault.finish_reason)
    if fault.think_tags is not None:
        opened = "<think>\n" if fault.think_tags == "both" else ""
        content = f"{opened}{answer.reasoning or _THOUGHT}\n</think>\n\n{answer.content}"
        answer = replace(answer, content=content, reasoning="")
    if fault.content is None:
        return answer
    reasoning = answer.reasoning
    if fault.content == "reasoning_only" and not reasoning:
        reasoning = _THOUGHT
    return replace(answer, content="", content_tokens=0, reasoning=reasoning, calls=())
