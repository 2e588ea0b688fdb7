"""What is said: the JSON-RPC messages of a client, and the check of what comes back."""

import json
import re

MODERN = "2026-07-28"
FIRST_ID = 1_000_000  # so that every id is as long as the next, and so is every request
BIG = 1 << 16  # a message longer than this is checked by its length and id, not parsed
CLIENT = {"name": "mcpload", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def compact(value):
    """JSON without a needless byte."""
    return json.dumps(value, separators=(",", ":")).encode()


INITIALIZED = compact({"jsonrpc": "2.0", "method": "notifications/initialized"})


def initialize(revision):
    """The legacy era's first request, asking for a revision of the protocol."""
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": CLIENT}
    return compact({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})


def listen(ident):
    """The modern era's request for a stream of notifications."""
    params = {"_meta": META, "notifications": {"toolsListChanged": True}}
    return compact(
        {"jsonrpc": "2.0", "id": ident, "method": "subscriptions/listen", "params": params}
    )


class Call:
    """A tools/call whose id is filled in as it is sent, and the check of its answer.

    :param tool: the tool's name, as the gateway has it.
    :param arguments: its arguments.
    :param least: how many bytes an answer has at least.
    :param text: the text the answer must hold, or None to take any.
    :param modern: whether the request carries the ``_meta`` of 2026-07-28.
    """

    def __init__(self, tool, arguments, least=0, text=None, modern=False):
        params = {"name": tool, "arguments": arguments}
        if modern:
            params["_meta"] = META
        self.tool, self.least, self.text = tool, least, text
        self.before = b'{"jsonrpc":"2.0","id":'
        self.after = b',"method":"tools/call","params":' + compact(params) + b"}"
        self.length = len(self.before) + len(str(FIRST_ID)) + len(self.after)
        self.known = (b"", b"")  # a right answer, without its id

    def body(self, ident):
        """The request with this id, as bytes."""
        return b"%s%d%s" % (self.before, ident, self.after)

    def check(self, ident, data):
        """None where the answer is right, else what is wrong with it."""
        before, after = self.known
        if data == b"%s%d%s" % (before, ident, after):
            return None  # the same, to the byte, as one that was looked into
        if len(data) < self.least:
            return "short answer: " + data[:120].decode("utf-8", "replace")
        if len(data) > BIG:
            wanted = re.compile(rb'"id"\s*:\s*%d\b' % ident)
            return None if wanted.search(data[:256]) or wanted.search(data[-256:]) else "wrong id"
        try:
            message = json.loads(data)
        except ValueError:
            return "not JSON: " + data[:80].decode("utf-8", "replace")
        wrong = self._check(ident, message)
        if wrong is None and data.count(b"%d" % ident) == 1:
            before, _, after = data.partition(b"%d" % ident)
            self.known = (before, after)
        return wrong

    def _check(self, ident, message):
        if message.get("id") != ident:
            return "wrong id"
        result = message.get("result")
        if result is None:
            return "error: " + str(message.get("error", {}).get("message"))[:120]
        if result.get("isError"):
            return "tool error: " + str(result.get("content"))[:120]
        if self.text is not None and result["content"][0]["text"] != self.text:
            return "wrong text"
        return None


def is_answer(data, ident):
    """Whether a message on a stream is the answer to this id, not something said before it."""
    if len(data) > BIG:
        return True
    if b'"method"' in data:
        try:
            if "method" in json.loads(data):
                return False
        except ValueError:
            pass  # the check will say what is wrong with it
    return b"%d" % ident in data
