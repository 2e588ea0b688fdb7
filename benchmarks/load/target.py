"""Where the load goes, and the parts of requests that are the same for every session."""

import asyncio
import contextlib
import socket
import ssl
import urllib.parse

from load.calls import MODERN
from load.http1 import Connection
from load.http2 import Http2, Stream

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Target:
    """The far end, as an URL, and how to reach it.

    :param url: where to; only this machine is ever loaded.
    :param revision: the revision of the protocol to ask for.
    :param timeout: seconds to wait for a connection, and for an answer.
    :param headers: lines to add to the head of every request.
    :param http2: speak HTTP/2, by prior knowledge where the URL is http.
    :param share: with ``http2``, let every session use the one connection.
    """

    def __init__(self, url, revision, timeout=30.0, headers=(), http2=False, share=False):
        parts = urllib.parse.urlsplit(url)
        if parts.hostname not in LOOPBACK:
            raise SystemExit("mcpload only loads this machine")
        self.host = parts.hostname
        self.secure = parts.scheme in ("https", "wss")
        self.port = parts.port or (443 if self.secure else 80)
        self.path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        self.revision, self.timeout, self.http2, self.share = revision, timeout, http2, share
        self.modern = revision == MODERN
        self.context = self._tls() if self.secure else None
        self.shared, self.sharing = None, asyncio.Lock()
        lines = [f"Host: {self.host}:{self.port}", "User-Agent: mcpload", *headers]
        self.common = "".join(line + "\r\n" for line in lines)

    def _tls(self):
        # The certificate is our own machine's, and not what is measured.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.http2:
            context.set_alpn_protocols(["h2"])
        return context

    async def connect(self):
        """A `Connection`, ready for a request."""
        if not self.http2:
            return await self.connect_with(Connection)
        if not self.share:
            return Stream(await self._http2())
        async with self.sharing:
            if not (self.shared and self.shared.open):
                self.shared = await self._http2()
        return Stream(self.shared)

    async def _http2(self):
        return await self.connect_with(lambda: Http2(self.secure, self.share))

    async def connect_with(self, factory):
        """A connection spoken over by the protocol that ``factory`` makes."""
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(factory, self.host, self.port, ssl=self.context)
        transport, protocol = await asyncio.wait_for(connecting, self.timeout)
        with contextlib.suppress(OSError, AttributeError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return protocol

    def head(self, method, length=None, extra="", accept=None, path=None):
        """The head of a request, as bytes; ``extra`` holds whole header lines."""
        accept = accept or "application/json, text/event-stream"
        text = f"{method} {path or self.path} HTTP/1.1\r\n{self.common}Accept: {accept}\r\n{extra}"
        if length is not None:
            text += f"Content-Type: application/json\r\nContent-Length: {length}\r\n"
        return (text + "\r\n").encode()

    def post(self, body, extra="", path=None):
        """A whole POST request."""
        return self.head("POST", len(body), extra, path=path) + body
