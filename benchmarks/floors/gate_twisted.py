"""The ceiling: the least gateway on Twisted, HTTP in front, one stdio server behind.

    gate_twisted.py PORT [splice|json] -- COMMAND...

It keeps one shared child, gives every request an id of its own on the way in and the caller's
back on the way out, answers initialize by itself, and does nothing else a gateway must: no
sessions, no streams, no limits, no checks.  What it reaches is what a gateway that does can hope
for.  ``splice`` replaces ids in the bytes and parses nothing; ``json`` decodes and encodes every
message with the standard library.
"""

import itertools
import json
import re
import sys

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import protocol, reactor  # noqa: E402

HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "gate", "version": "1"},
    },
}
ID = re.compile(rb'"id":\s*([0-9]+|"[^"\\]*")')
BIG = 1 << 16


_encode = json.JSONEncoder(separators=(",", ":")).encode


def dumps(value):
    """JSON without a needless byte."""
    return _encode(value).encode()


class Child(protocol.ProcessProtocol):
    """The server behind; a subclass says how ids are exchanged."""

    hello = None

    def __init__(self):
        self.numbers = itertools.count(1)
        self.pending = {}
        self.held = []

    def connectionMade(self):
        self.pending[0] = (None, self._greeted)
        self.transport.write(dumps(HELLO) + b"\n")

    def _greeted(self, line):
        self.hello = json.loads(line)["result"]
        self.transport.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    def outReceived(self, data):
        first, *rest = data.split(b"\n")
        self.held.append(first)
        for piece in rest:
            self.line_received(b"".join(self.held))
            self.held = [piece]

    def ask(self, body, reply):
        """Forward one message; ``reply(bytes)`` when its answer comes, empty where none will."""
        raise NotImplementedError

    def line_received(self, line):
        """Give one answer to whoever asked."""
        raise NotImplementedError


class Splicing(Child):
    """Exchanges ids in the bytes."""

    def ask(self, body, reply):
        at = ID.search(body)
        if not at:
            self.transport.write(body + b"\n")
            reply(b"")
        elif b'"initialize"' in body:
            reply(b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (at[1], dumps(self.hello)))
        else:
            number = next(self.numbers)
            self.pending[number] = (at[1], reply)
            self.transport.write(b"%s%d%s\n" % (body[: at.start(1)], number, body[at.end(1) :]))

    def line_received(self, line):
        at = ID.search(line)
        ident, reply = self.pending.pop(int(at[1]))
        reply(line if ident is None else line[: at.start(1)] + ident + line[at.end(1) :])


class Parsing(Child):
    """Decodes and encodes every message."""

    def ask(self, body, reply):
        message = json.loads(body)
        if "id" not in message:
            self.transport.write(dumps(message) + b"\n")
            reply(b"")
        elif message["method"] == "initialize":
            reply(dumps({"jsonrpc": "2.0", "id": message["id"], "result": self.hello}))
        else:
            number = next(self.numbers)
            self.pending[number] = (message["id"], reply)
            message["id"] = number
            self.transport.write(dumps(message) + b"\n")

    def line_received(self, line):
        message = json.loads(line)
        ident, reply = self.pending.pop(message["id"])
        if ident is None:
            reply(line)
        else:
            message["id"] = ident
            reply(dumps(message))


class Front(protocol.Protocol):
    """Just enough HTTP/1.1 for the load generator."""

    held = b""

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data):
        if self.held:
            data = self.held + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end].lower()
            whole = end + 4 + self._length(head)
            if len(data) < whole:
                break
            body, data = data[end + 4 : whole], data[whole:]
            if head.startswith(b"post"):
                self.factory.child.ask(body, self.reply)
            else:
                self.reply(b"")
        self.held = data

    @staticmethod
    def _length(head):
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            return 0
        stop = head.find(b"\r\n", at + 17)
        return int(head[at + 17 : stop if stop >= 0 else None])

    def reply(self, body):
        """Answer with that body; 202 where it is empty."""
        if not body:
            self.transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            return
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
        )
        if len(body) > BIG:
            self.transport.writeSequence([head, body])
        else:
            self.transport.write(head + body)


def main(argv):
    """The command."""
    cut = argv.index("--")
    own, command = argv[:cut], argv[cut + 1 :]
    child = Parsing() if own[1:] == ["json"] else Splicing()
    factory = protocol.Factory.forProtocol(Front)
    factory.child, factory.noisy = child, False
    reactor.spawnProcess(child, command[0], command, env=None)
    reactor.listenTCP(int(own[0]), factory, interface="127.0.0.1", backlog=1024)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
