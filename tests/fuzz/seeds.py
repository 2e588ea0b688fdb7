"""What guessing begins with: for each target a few inputs that get deep into its parser."""

from __future__ import annotations

import base64
import json

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

_JWK = {"kty": "OKP", "crv": "Ed25519", "x": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}
_CLAIMS = {
    "iss": "ann",
    "sub": "ann",
    "aud": "https://a.example",
    "iat": 1_800_000_000,
    "exp": 1_800_000_060,
    "jti": "12345678",
}


def _jws(header: object, claims: object) -> bytes:
    """A JWS as it might be, with a signature that is none."""
    parts = (json.dumps(part).encode() for part in (header, claims))
    return b".".join([*map(_base64url, parts), _base64url(b"x" * 64)])


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _ssh_signature(public: tuple[bytes, ...], signature: tuple[bytes, ...], rest: bytes) -> bytes:
    """An SSH signature without armor, that nobody made."""
    key, signed = (b"".join(map(_string, parts)) for parts in (public, signature))
    parts = (key, b"mcptwist-approve", b"", b"sha512", signed + rest)
    return b"SSHSIG\0\0\0\1" + b"".join(map(_string, parts))


_POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
_SSH_SIGNATURES = (
    _ssh_signature((b"ssh-ed25519", bytes(range(32))), (b"ssh-ed25519", b"x" * 64), b""),
    _ssh_signature(
        (b"sk-ssh-ed25519@openssh.com", bytes(range(32)), b"ssh:"),
        (b"sk-ssh-ed25519@openssh.com", b"x" * 64),
        b"\1\0\0\0\1",
    ),
    _ssh_signature(
        (b"ecdsa-sha2-nistp256", b"nistp256", _POINT),
        (b"ecdsa-sha2-nistp256", _string(b"\1" * 32) + _string(b"\2" * 32)),
        b"",
    ),
    _ssh_signature(
        (b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", _POINT, b"ssh:"),
        (b"sk-ecdsa-sha2-nistp256@openssh.com", _string(b"\1" * 32) + _string(b"\2" * 32)),
        b"\1\0\0\0\1",
    ),
)


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


#: A client that has registered ``http://127.0.0.1/cb`` and ``https://app.example/cb``.
_CLIENT = b"x.F01HWCx2UN1OqvKj.OBO0qx9MZ45JvSbb"

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
    "event_writer": _MESSAGES,
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
    "patterns": (b"git_*,search,a?b", b"10.0.0.0/8,2001:db8::/32,unix"),
    "public_key": (
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann",
        b"-----BEGIN PUBLIC KEY-----\n"
        b"MCowBQYDK2VwAyEAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
        b"-----END PUBLIC KEY-----\n",
    ),
    "jwk": (
        b'{"kty":"OKP","crv":"Ed25519","x":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}',
        b'{"kty":"EC","crv":"P-256","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",'
        b'"y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}',
    ),
    "signed_token": (_jws({"alg": "EdDSA", "typ": "JWT"}, {"iss": "a"}),),
    "assertion": (_jws({"alg": "EdDSA", "kid": "k"}, _CLAIMS),),
    "proof": (
        _jws(
            {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": _JWK},
            {"htm": "POST", "htu": "https://a.example/mcp", "iat": 1800000000, "jti": "12345678"},
        ),
    ),
    "ssh_signature": (
        *_SSH_SIGNATURES,
        b"-----BEGIN SSH SIGNATURE-----\n"
        + base64.b64encode(_SSH_SIGNATURES[0])[:70]
        + b"\nU1NIU0lH\n-----END SSH SIGNATURE-----\n",
    ),
    "approval_code": (b"BCDF-GHJK", b"bcdf ghjk\n"),
    "structured_field": (
        b'sig1=("@method" "content-digest";req);created=1;n="a\\"b";k=:AAE=:, a, b=?0;c=tok',
        b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, unixsum=-1",
    ),
    "message_signature": (
        b"content-digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\n"
        b"mcp-session-id: abc\n"
        b'signature-input: sig1=("@method" "@target-uri" "content-digest" "mcp-session-id");'
        b'created=1800000000;nonce="V8wA3pX2qF7nL1cR";keyid="k";tag="t"\n'
        b"signature: sig1=:" + base64.b64encode(b"x" * 64) + b":",
    ),
    "approval_told": (
        b'{"code":"BCDF-GHJK","issuer":"https://a.example","client_id":"i.x",'
        b'"client_name":"i","redirect_uri":"http://localhost:1/x","scope":"mcp:read mcp:call",'
        b'"resource":"https://a.example/mcp","asked_from":"192.0.2.1","expires_in":300}',
        b'{"code":"BCDF-GHJK","issuer":"https://a.example","client_id":"\\ud800",'
        b'"client_name":"\\u001b","redirect_uri":"","scope":"mcp:read",'
        b'"resource":"https://a.example/servers/x/mcp","asked_from":"","expires_in":0}',
    ),
    "device_link": (
        b"user_code=BCDF-GHJK",
        b"x=1&user_code=bcdf%20ghjk&user_code=BCDFGHJK",
        b"&".join(b"a%d=1" % number for number in range(40)),
    ),
    "agreement": (
        b"code=BCDF-GHJK&scope=mcp%3Aread+mcp%3Acall&signature=x",
        b"code=BCDF-GHJK&action=deny&signature=x",
        b"code=BCDF-GHJK&scope=mcp:read%20mcp:admin",
    ),
    "login_answer": (
        b"code=mcp_ac_x",
        b"error=access_denied&error_description=nobody%20approved%20it%20in%20time",
        b"code=x&state=y&iss=https%3A%2F%2Fb.example",
    ),
    "token_answer": (
        b'{"access_token":"mcp_at_x","token_type":"Bearer","expires_in":600,'
        b'"refresh_token":"mcp_rt_x","scope":"mcp:read mcp:call"}',
        b'{"error":"invalid_grant","error_description":"the code is not good"}',
        b'{"access_token":"x","token_type":"bearer","expires_in":1e400}',
    ),
    "registration_answer": (
        b'{"client_id":"x.F01HWCx2UN1OqvKj","token_endpoint_auth_method":"none"}',
        b'{"client_id":"x","client_secret":"y","client_secret_expires_at":0,'
        b'"token_endpoint_auth_method":"client_secret_basic"}',
    ),
    "token_form": (
        b"grant_type=client_credentials&client_assertion=a.b.c&resource=https%3A%2F%2Fa.example",
    ),
    "client_registration": (
        b'{"redirect_uris":["http://127.0.0.1:5/cb","https://app.example/cb"],"client_name":"x"}',
        b'{"redirect_uris":["http://[::1]/?a=b"],"grant_types":["authorization_code"],'
        b'"response_types":["code"]}',
    ),
    "authorization_request": (
        b"response_type=code&client_id=%s"
        b"&redirect_uri=http%%3A%%2F%%2F127.0.0.1%%3A5%%2Fcb&state=a&scope=mcp%%3Aread"
        b"&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        b"&resource=https%%3A%%2F%%2Fa.example%%2Fmcp" % _CLIENT,
    ),
    "bearer_challenge": (
        b'Bearer resource_metadata="https://a.example/m", scope="a b", DPoP algs="ES256"',
        b'Basic realm="a\\"b"\nDPoP error="use_dpop_nonce"',
    ),
    "server_metadata": (
        b'{"resource":"https://a.example/mcp","authorization_servers":["https://a.example"]}',
        b'{"issuer":"https://a.example","token_endpoint":"https://a.example/token"}',
    ),
    "host_keys": (
        b'{"payload":"e30","signatures":[{"protected":"e30","signature":"AAAA"},'
        b'{"protected":"e30","signature":"AAAA"}]}',
    ),
    "mutual_proof": (
        b'{"type":"hello","v":1,"key":"SHA256:' + b"A" * 43 + b'","nonce":"' + b"A" * 43 + b'"}',
        b'{"type":"proof","alg":"EdDSA","sig":"AAAA"}',
        b'{"type":"welcome","principal":"ann","scopes":["mcp:read"],"expires_in":60}',
        b'{"type":"challenge","nonce":"'
        + b"A" * 43
        + b'","hostkey":"SHA256:'
        + b"A" * 43
        + b'","alg":"EdDSA","sig":"AAAA"}',
    ),
    "handles": (
        b'{"name":"t","requestState":"x.y","task":{"taskId":"1"}}',
        rb'{"request\u0053tate":"y"}',
        b'{"RequestState":"y","taskId":"1"}',
    ),
    "agent_answer": (
        _string(_string(b"ssh-ed25519") + _string(b"x" * 64)),
        _string(
            _string(b"ecdsa-sha2-nistp256")
            + _string(_string(b"\0" + b"x" * 32) + _string(b"y" * 32))
        ),
        _string(b"sk-ssh-ed25519@openssh.com") + _string(b"x" * 64) + b"\1\0\0\0\1",
        _string(b"sk-ecdsa-sha2-nistp256@openssh.com")
        + _string(_string(b"\1" * 32) + _string(b"\2" * 32))
        + b"\1\0\0\0\1",
    ),
    "address": (
        b"localhost:8080 servers/a%2fb/mcp",
        b"a.example. mcp",
        b"[::1]:8080 ws",
        b"127.0.0.1:8080 sse/",
    ),
}
