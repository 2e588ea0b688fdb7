"""One client's stay, a class for each transport."""

import asyncio
import base64
import contextlib
import json
import os
import time
import urllib.parse

from load import Failure
from load.calls import INITIALIZED, MODERN, initialize, is_answer, listen
from load.websocket import CLOSE, WebSocket

clock = time.perf_counter
ACCEPTED = (200, 202, 204)
LISTEN_ID = 7


class Session:
    """What all have in common: ``open``, then calls one after the other, then ``close``.

    :param target: the `Target`.
    :param call: the `Call` that is made over and over.
    """

    def __init__(self, target, call):
        self.target, self.spec = target, call
        self.began = 0.0  # when the call under way was written, by `clock`
        self.arrived = 0.0  # when its answer had come
        self.answer = None
        self.ident = 0
        self.done = None
        self.session_id = None
        self.stream = None
        self.stream_status = None

    async def open(self):
        """Connect, and shake hands where the transport's era has that."""
        raise NotImplementedError

    async def reconnect(self):
        """See to a connection for the next call: a server may close one that is idle."""

    def call(self, ident, done):
        """Make a call.

        :param done: called with ``(answer, error)`` when the answer is in and the session is
            ready for another call; ``answer`` is bytes or None, ``error`` a `Failure` or None.
        """
        self.ident, self.done, self.answer = ident, done, None
        self.began = clock()
        self._send()

    def waiting(self):
        """Seconds since the call under way began; 0 where there is none."""
        return clock() - self.began if self.done else 0.0

    def settle(self, error=None):
        """Tell whoever called."""
        done, self.done = self.done, None
        if done:
            done(self.answer, error)

    async def acall(self, ident):
        """As ``call``, awaited, and the answer checked; reconnects first where need be."""
        await self.reconnect()
        waiter = asyncio.get_running_loop().create_future()

        def done(answer, error):
            if waiter.done():
                return
            wrong = None if error else self.spec.check(ident, answer or b"")
            if error or wrong:
                waiter.set_exception(error or Failure(wrong))
            else:
                waiter.set_result(answer)

        self.call(ident, done)
        try:
            return await asyncio.wait_for(waiter, self.target.timeout)
        except TimeoutError:
            self.done = None
            raise Failure("timeout") from None

    async def listen(self):
        """Hold a stream from the server open, where the transport has one apart."""

    def abort(self):
        """Go away without a word."""
        raise NotImplementedError

    async def close(self):
        """End the stay as the transport would have it."""
        self.abort()

    def _send(self):
        raise NotImplementedError

    def _abort(self, *connections):
        for connection in connections:
            if connection and connection.transport:
                connection.abort()


class Streamable(Session):
    """Streamable HTTP, of either era: one connection for the calls, one for the stream."""

    connection = None
    revision = None

    def _headers(self):
        extra = ""
        if self.session_id:
            extra += f"Mcp-Session-Id: {self.session_id}\r\n"
        if self.revision:
            extra += f"MCP-Protocol-Version: {self.revision}\r\n"
        return extra

    async def open(self):
        target, spec = self.target, self.spec
        self.connection = await target.connect()
        if target.modern:
            self.revision = MODERN
            extra = f"{self._headers()}Mcp-Method: tools/call\r\nMcp-Name: {spec.tool}\r\n"
        else:
            await self._handshake()
            extra = self._headers()
        self.prefix = target.head("POST", spec.length, extra) + spec.before

    async def _handshake(self):
        status, messages = await self._exchange(initialize(self.target.revision))
        answers = (json.loads(m) for m in messages if b'"result"' in m or b'"error"' in m)
        answer = next(answers, None)
        if status != 200 or not answer or "result" not in answer:
            raise Failure(refused("initialize", status, messages))
        self.revision = answer["result"]["protocolVersion"]
        ident = self.connection.header(b"mcp-session-id")
        self.session_id = ident.decode() if ident else None
        await self.reconnect()
        status, messages = await self._exchange(INITIALIZED)
        if status not in ACCEPTED:
            raise Failure(refused("initialized", status, messages))
        await self.reconnect()

    async def _exchange(self, body):
        request = self.target.post(body, self._headers())
        return await self.connection.exchange(request, self.target.timeout)

    async def reconnect(self):
        if not self.connection.open:
            self.connection = await self.target.connect()

    def _send(self):
        request = b"%s%d%s" % (self.prefix, self.ident, self.spec.after)
        self.connection.start(request, self._message, self._end)

    def _message(self, event, data):
        if event and not is_answer(data, self.ident):
            return
        self.answer = data
        self.arrived = clock()

    def _end(self, status, error):
        if error:
            self.settle(error)
        elif status != 200:
            self.settle(Failure(refused("HTTP", status, [self.answer or b""])))
        elif self.connection.open:
            self.settle()
        else:
            self.reopening = asyncio.ensure_future(self._settle_reopened())

    async def _settle_reopened(self):
        try:
            self.connection = await self.target.connect()
        except OSError:
            self.settle(Failure("connection refused"))
        else:
            self.settle()

    async def listen(self):
        self.stream = await self.target.connect()
        waiter = asyncio.get_running_loop().create_future()

        def head(status):
            if not waiter.done():
                waiter.set_result(status)

        self.stream.on_head = head
        self.stream.start(
            self._listening(), lambda event, data: None, lambda status, error: head(status)
        )
        try:
            self.stream_status = await asyncio.wait_for(waiter, 2)
        except TimeoutError:  # some servers send no head before the first event
            self.stream_status = "no head yet"
        if self.stream_status not in (200, "no head yet"):
            self.stream.abort()

    def _listening(self):
        if self.target.modern:
            extra = self._headers() + "Mcp-Method: subscriptions/listen\r\n"
            return self.target.post(listen(LISTEN_ID), extra)
        return self.target.head("GET", extra=self._headers(), accept="text/event-stream")

    def abort(self):
        self._abort(self.connection, self.stream)

    async def close(self):
        if self.session_id:
            with contextlib.suppress(Failure, OSError, asyncio.TimeoutError):
                await self.reconnect()
                farewell = self.target.head("DELETE", extra=self._headers())
                await self.connection.exchange(farewell, 5)
        self.abort()


class HttpSse(Session):
    """HTTP+SSE of 2024-11-05: a stream for all answers, POSTs for the questions."""

    connection = None

    async def open(self):
        target = self.target
        loop = asyncio.get_running_loop()
        self.endpoint, self.greeting, self.posted = loop.create_future(), None, False
        self.stream = await target.connect()
        self.stream.start(
            target.head("GET", accept="text/event-stream"), self._message, self._ended
        )
        where = urllib.parse.urlsplit(await asyncio.wait_for(self.endpoint, target.timeout))
        self.path = where.path + ("?" + where.query if where.query else "")
        self.stream_status = 200
        self.connection = await target.connect()
        if not target.modern:
            await self._handshake()
        self.prefix = target.head("POST", self.spec.length, path=self.path) + self.spec.before

    async def _handshake(self):
        self.greeting = asyncio.get_running_loop().create_future()
        await self._post(initialize("2024-11-05"))
        answer = json.loads(await asyncio.wait_for(self.greeting, self.target.timeout))
        if "result" not in answer:
            raise Failure("initialize: " + str(answer)[:120])
        await self._post(INITIALIZED)

    def _message(self, event, data):
        if event == b"endpoint":
            if not self.endpoint.done():
                self.endpoint.set_result(data.decode().strip())
        elif self.greeting and not self.greeting.done():
            self.greeting.set_result(data)
        elif self.done and is_answer(data, self.ident):
            self.answer = data
            self.arrived = clock()
            self._settle_when_both()

    def _ended(self, status, error):
        if not self.endpoint.done():
            self.endpoint.set_exception(Failure(f"stream: {status}"))
        elif self.greeting and not self.greeting.done():
            self.greeting.set_exception(Failure("stream lost"))
        else:
            self.settle(Failure("stream lost"))

    async def _post(self, body):
        request = self.target.post(body, path=self.path)
        status, _ = await self.connection.exchange(request, self.target.timeout)
        if status not in ACCEPTED:
            raise Failure(f"post: {status}")
        await self.reconnect()

    async def reconnect(self):
        if not self.connection.open:
            self.connection = await self.target.connect()

    def _send(self):
        self.posted = False
        request = b"%s%d%s" % (self.prefix, self.ident, self.spec.after)
        self.connection.start(request, lambda event, data: None, self._accepted)

    def _accepted(self, status, error):
        if error or status not in ACCEPTED:
            self.settle(error or Failure(f"HTTP {status}"))
        elif self.connection.open:
            self.posted = True
            self._settle_when_both()
        else:
            self.reopening = asyncio.ensure_future(self._reopen())

    def _settle_when_both(self):
        if self.posted and self.answer is not None:
            self.settle()

    async def _reopen(self):
        self.connection = await self.target.connect()
        self.posted = True
        self._settle_when_both()

    def abort(self):
        self._abort(self.connection, self.stream)


class WebSocketSession(Session):
    """One JSON-RPC message a text frame."""

    socket = None
    greeting = None

    async def open(self):
        target = self.target
        self.socket = await target.connect_with(
            lambda: WebSocket(self._upgrading(), self._message, self._closed)
        )
        await asyncio.wait_for(self.socket.upgraded, target.timeout)
        self.stream_status = 101
        if not target.modern:
            await self._handshake()

    async def _handshake(self):
        self.greeting = asyncio.get_running_loop().create_future()
        self.socket.send(initialize(self.target.revision))
        answer = json.loads(await asyncio.wait_for(self.greeting, self.target.timeout))
        if "result" not in answer:
            raise Failure("initialize: " + str(answer)[:120])
        self.socket.send(INITIALIZED)

    def _upgrading(self):
        key = base64.b64encode(os.urandom(16)).decode()
        return (
            f"GET {self.target.path} HTTP/1.1\r\n{self.target.common}"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: mcp\r\n\r\n"
        ).encode()

    def _message(self, event, data):
        if self.greeting and not self.greeting.done():
            self.greeting.set_result(data)
        elif self.done and is_answer(data, self.ident):
            self.answer = data
            self.arrived = clock()
            self.settle()

    def _closed(self):
        if self.greeting and not self.greeting.done():
            self.greeting.set_exception(Failure("connection lost"))
        self.settle(Failure("connection lost"))

    def _send(self):
        if self.socket.open:
            self.socket.send(self.spec.body(self.ident))
        else:
            asyncio.get_running_loop().call_soon(self.settle, Failure("connection lost"))

    def abort(self):
        if self.socket and self.socket.open:
            self.socket.transport.abort()

    async def close(self):
        if self.socket and self.socket.open:
            self.socket.send(b"\x03\xe8", CLOSE)  # 1000, a normal closure
            self.socket.transport.close()


TRANSPORTS = {"http": Streamable, "sse": HttpSse, "ws": WebSocketSession}


def refused(what, status, messages):
    """One line about an answer that is not what was hoped for."""
    return f"{what} {status} " + b" ".join(messages)[:120].decode("utf-8", "replace")
