"""What guessing begins with: for each target a few inputs that get deep into its parser."""

from __future__ import annotations

_MESSAGES = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":[1]}}}',
    b'{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"\\ud83d"}]}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}',
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}',
)
_HEADS = (
    b"GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /stock HTTP/1.1\r\nHost: localhost:8080\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n",
)

SEEDS: dict[str, tuple[bytes, ...]] = {
    "message": _MESSAGES,
    "batch": tuple(b",".join(_MESSAGES[:n]) for n in range(1, 4)),
    "envelope": (
        b'{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        b'"io.modelcontextprotocol/clientCapabilities":{}},"requestState":"x"}',
        b'{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x"}}',
    ),
    "routing_headers": (b"plain", b"=?base64?SGVsbG8=?=", b"=?base64??="),
    "http_head": _HEADS,
    "http1_connection": (*_HEADS, b"".join(_HEADS)),
    "http2_connection": (
        b"\0\0\0\4\1\0\0\0\0" + b"\0\0\5\1\5\0\0\0\1" + b"\x82\x86\x84\x41\x00",
        b"\0\0\x08\6\0\0\0\0\0" + b"12345678",
        b"\0\0\4\x08\0\0\0\0\0\0\0\0\1",
    ),
    "http2_codec": (
        b"\0\0\0\4\1\0\0\0\0" + b"\0\0\5\1\5\0\0\0\1" + b"\x82\x86\x84\x41\x00",
        b"\0\0\x08\6\0\0\0\0\0" + b"12345678",
        b"\0\0\4\x08\0\0\0\0\0\0\0\0\1",
    ),
    "header_block": (
        b"\x82\x86\x84\x41\x0f\x77ww.example.com.au",
        b"\x40\x03x-a\x01b\xbe\x20\x00\x01a\x81\x1f",
    ),
    "http2_answers": (
        b"\0\0\0\4\0\0\0\0\0" + b"\0\0\1\1\4\0\0\0\1\x88" + b"\0\0\2\0\1\0\0\0\1{}",
        b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\4\0\0\0\0\0" + b"\0\0\4\3\0\0\0\0\1\0\0\0\7",
    ),
    "websocket_connection": (
        b"\x81\x82\0\0\0\0{}",
        b"\x01\x81\0\0\0\0{" + b"\x89\x80\0\0\0\0" + b"\x80\x81\0\0\0\0}",
        b"\x88\x82\0\0\0\0\x03\xe8",
        b"\x81\xfe\0\x80\0\0\0\0" + b" " * 128,
    ),
    "chunked_body": (b"5\r\nhello\r\n0\r\n\r\n", b"1;a=b\r\nx\r\n0\r\nX: y\r\n\r\n"),
    "event_stream": (
        b"id: 1-2\nevent: message\ndata: {}\n\n: hello\r\n\r\nretry: 10\rdata: a\rdata: b\r\r",
    ),
    "line_splitter": (b"one\ntwo\r\n\nthree", b"x" * 80 + b"\ny\n"),
    "configuration": (
        b'{"mcpServers":{"a":{"command":"x","args":["${HOME}"],"env":{"K":"v"}}}}',
        b'listen = ["tcp:0"]\n[mcpServers.a]\nurl = "https://example.com/mcp"\n',
    ),
    "request_state": (b"a2tr", b"a" * 64),
    "authorized_keys": (
        b'principal="ann",scope="mcp",from="10.0.0.0/8" ssh-ed25519 '
        b"AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann\n",
    ),
    "known_hosts": (
        b"[example.com]:8443 ssh-ed25519 "
        b"AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n",
    ),
    "signed_token": (b"eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhIn0.AAAA",),
}
