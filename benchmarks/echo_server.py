#!/usr/bin/env python3
"""A small, fast MCP server on stdio, to put behind a gateway under test.

It costs as little as possible, so that what a load generator sees through a gateway is the
gateway's own cost: no dependencies, one thread, no event loop.  It reads whatever is on stdin,
answers every complete line it holds, and writes all of those answers with one write.

    python3 -S -E echo_server.py [--cpu N] [--tag WORD]

Tools (all answer one text content block):

    echo    {"text": str}       the same text
    blob    {"bytes": int}      that many 'x' characters
    stream  {"bytes": int}      says that many in progress notifications of 100 KB each, as fast
                                as they are taken, and answers how many notifications it were

It speaks both eras: the handshake revisions 2024-11-05 to 2025-11-25 (it answers the revision
it was asked for, else 2025-11-25), and 2026-07-28, whose requests it knows by the revision in
their ``_meta``.  It keeps no state, so both may come mixed.

``--cpu N``     pins this process to one core.  It is an argument and not an environment
                variable because gateways filter the environment.
``--tag WORD``  is ignored; it is there to find a run's children by their command line.
"""

import functools
import json
import os
import sys

HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
REVISION = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
READ = 1 << 20
PIECE = 100_000

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
UNSUPPORTED_REVISION = -32022

_dumps = json.JSONEncoder(separators=(",", ":")).encode
_loads = json.JSONDecoder().decode
_quote = json.encoder.encode_basestring_ascii


def tool(name, description, argument, kind):
    """One entry of tools/list, for a tool of one argument."""
    schema = {"type": "object", "properties": {argument: {"type": kind}}, "required": [argument]}
    return {"name": name, "description": description, "inputSchema": schema}


TOOLS = [
    tool("echo", "Return the text.", "text", "string"),
    tool("blob", "Return so many characters.", "bytes", "integer"),
    tool("stream", "Say so many characters before the answer.", "bytes", "integer"),
]
INFO = {"name": "echo", "version": "1"}
CAPABILITIES = {"tools": {}}
FRESHNESS = {"ttlMs": 0, "cacheScope": "private"}


class Refusal(Exception):
    """A request that is answered with an error: its code, message and data."""

    def __init__(self, code, message, data=None):
        self.error = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


@functools.lru_cache(2)
def blob(size):
    """That many characters, as JSON; kept, for making them is not what is measured."""
    return _quote("x" * size)


def stream(size, meta):
    """Say so many characters in the course of a call; how often something was said, as JSON."""
    token, text = _dumps(meta["progressToken"]), blob(PIECE)
    head = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s'
    for number in range(size // PIECE):
        rest = ',"progress":%d,"message":%s}}\n'
        write((head + rest) % (token, number, text))
    return _quote(str(size // PIECE))


def text_of(params):
    """The text that a tools/call asks for, as JSON."""
    name = params.get("name")
    arguments = params.get("arguments", {})
    try:
        if name == "echo":
            return _quote(arguments["text"])
        if name == "blob":
            return blob(int(arguments["bytes"]))
        if name == "stream":
            return stream(int(arguments["bytes"]), params["_meta"])
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(INVALID_PARAMS, f"bad arguments: {error!r}") from None
    raise Refusal(INVALID_PARAMS, "Unknown tool")


def legacy(method, params):
    """The result of a request of a handshake revision, other than tools/call."""
    if method == "initialize":
        wanted = params.get("protocolVersion")
        agreed = wanted if wanted in HANDSHAKE else HANDSHAKE[-1]
        return {"protocolVersion": agreed, "capabilities": CAPABILITIES, "serverInfo": INFO}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "ping":
        return {}
    raise Refusal(METHOD_NOT_FOUND, "Method not found")


def modern(method):
    """The result of a request of 2026-07-28, other than tools/call and subscriptions/listen."""
    if method == "tools/list":
        return {"resultType": "complete", "tools": TOOLS, **FRESHNESS}
    if method == "server/discover":
        return {
            "resultType": "complete",
            "supportedVersions": [MODERN],
            "capabilities": CAPABILITIES,
            "serverInfo": INFO,
            **FRESHNESS,
        }
    raise Refusal(METHOD_NOT_FOUND, "Method not found")


def acknowledged(ident):
    """What a subscription is told at once: nothing here ever changes, so nothing is agreed."""
    params = {"_meta": {SUBSCRIPTION: ident}, "notifications": {}}
    return _dumps(
        {
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": params,
        }
    )


def said(message):
    """The line that answers one request; None where there is nothing to say yet."""
    ident, method, params = message["id"], message["method"], message.get("params", {})
    revision = params["_meta"].get(REVISION) if "_meta" in params else None
    if revision not in (None, MODERN):
        data = {"supported": [MODERN], "requested": revision}
        raise Refusal(UNSUPPORTED_REVISION, "Unsupported protocol version", data)
    if method == "tools/call":
        # By far the most frequent: put together by hand.
        return '{"jsonrpc":"2.0","id":%s,"result":{%s"content":[{"type":"text","text":%s}]}}' % (  # noqa: UP031
            _dumps(ident),
            '"resultType":"complete",' if revision else "",
            text_of(params),
        )
    if revision and method == "subscriptions/listen":
        return acknowledged(ident)  # and answered never: it stays open
    result = modern(method) if revision else legacy(method, params)
    return _dumps({"jsonrpc": "2.0", "id": ident, "result": result})


def answer(line):
    """The line that answers a line, or None."""
    ident = None
    try:
        try:
            message = _loads(line)
        except ValueError:
            raise Refusal(PARSE_ERROR, "Parse error") from None
        if not isinstance(message, dict) or not isinstance(message.get("params", {}), dict):
            raise Refusal(INVALID_REQUEST, "Invalid Request")
        if "id" not in message or "method" not in message:
            return None  # a notification, or an answer to something never asked
        ident = message["id"]
        return said(message)
    except Refusal as refusal:
        return _dumps({"jsonrpc": "2.0", "id": ident, "error": refusal.error})


def lines():
    """Lists of whole lines from stdin, as they come, until it ends."""
    held = []  # pieces of a line not yet ended
    while data := os.read(0, READ):
        end = data.rfind(b"\n")
        if end < 0:
            held.append(data)
            continue
        held.append(data[:end])
        yield b"".join(held).decode("utf-8", "replace").split("\n")
        held = [data[end + 1 :]] if end + 1 < len(data) else []


def write(text):
    """All of the text, to stdout."""
    data = memoryview(text.encode())
    while data:
        data = data[os.write(1, data) :]


def serve():
    """Answer until stdin ends."""
    for some in lines():
        answers = [text for line in some if line and (text := answer(line)) is not None]
        if answers:
            answers.append("")
            write("\n".join(answers))


def main(argv):
    """The command."""
    options = dict(zip(argv[::2], argv[1::2], strict=False))
    if "--cpu" in options:
        os.sched_setaffinity(0, {int(options["--cpu"])})
    try:
        serve()
    except (BrokenPipeError, KeyboardInterrupt):
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
