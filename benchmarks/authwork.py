"""What a key costs now and then, on one core, in memory: see auth.py, which prints it.

The daemon is the one that the tests have, without sockets. Only its own part is timed; what the
other end signs is signed before, or between.
"""

import time
from urllib.parse import urlencode

from mcptwist.auth.keys import ED25519, P256, RSA, PrivateKey
from mcptwist.auth.mutualproof import AnsweringProof, AskingProof, Channel
from mcptwist.auth.oauth.assertions import TYPE
from mcptwist.auth.oauth.dpop import token_hash
from tests.auth.behind_tls import SecureDoor, pair_of
from tests.auth.closed import BASE, FORM, MCP, PORT, Closed
from tests.auth.people import assertion, key, proof
from tests.auth.proving import TLSEnd
from tests.auth.signing import signed

SECONDS = 0.5
KINDS = {"Ed25519": ED25519, "P-256": P256, "RSA 3072": RSA}
HEAD = f"Host: localhost:{PORT}\r\n"


def all_of_it(folder):
    """How often in a second each of them can be done."""
    return {
        "tokens_per_second": {name: tokens(folder / name, kind) for name, kind in KINDS.items()},
        "requests_with_a_proof_per_second": proofs(folder / "dpop"),
        "signed_requests_per_second": {
            name: signatures(folder / f"signed {name}", kind) for name, kind in KINDS.items()
        },
        "handshakes_per_second": {
            "server's key only": handshakes(folder / "tls", mutual=False),
            "client's certificate too": handshakes(folder / "mtls", mutual=True),
        },
        "websocket_proofs_per_second": {
            name: websocket_proofs(kind) for name, kind in KINDS.items() if kind != RSA
        },
    }


class Stopwatch:
    """Adds up the time of a processor that some work takes, and how often it was done."""

    def __init__(self):
        self.taken, self.times = 0.0, 0

    def time(self, work, *arguments):
        """Do it; what comes of it."""
        began = time.process_time()
        found = work(*arguments)
        self.taken += time.process_time() - began
        return found

    def is_running(self):
        """Whether to go on; counts how often it was asked."""
        self.times += 1
        return self.taken < SECONDS

    @property
    def per_second(self):
        return round((self.times - 1) / self.taken)


def house_at(place, kind=ED25519, **auth):
    """A daemon that lets Alice in, and does not mind how fast she asks."""
    signer = key("alice", kind)
    line = f'scope="mcp:read mcp:call" {signer.public.words()} alice@here'
    house = Closed(place, line, auth=auth)
    house.gatehouse.books.pace._rate = house.gatehouse.books.pace._burst = 1e9
    house.gatehouse.audit._write = None
    return house, signer


def tokens(place, kind):
    """Tokens for signed assertions, on one connection."""
    house, signer = house_at(place, kind)
    wire = house.request("GET", "/health", {}).wire
    watch = Stopwatch()
    while watch.is_running():
        form = {"grant_type": "client_credentials", "client_assertion_type": TYPE, "resource": MCP}
        form["client_assertion"] = assertion(signer, "alice", house.wall(), aud=BASE)
        body = urlencode(form)
        head = f"{HEAD}Content-Type: {FORM}\r\nContent-Length: {len(body)}\r\n"
        wire.clear()
        watch.time(wire.protocol.dataReceived, posted("/oauth/token", head, body))
        assert b"200 OK" in wire.value(), wire.value()
    return watch.per_second


def proofs(place):
    """Requests whose token is bound to a key; what they ask is not even begun."""
    house, signer = house_at(place)
    holder = key("holder", P256)
    token = house.bound(signer, holder)
    wire = house.request("GET", "/health", {}).wire
    watch = Stopwatch()
    house.gatehouse.books.replays._share = 10**6
    while watch.is_running():
        made = proof(holder, url=MCP, now=house.wall(), ath=token_hash(token.encode()))
        head = f"{HEAD}Authorization: DPoP {token}\r\nDPoP: {made}\r\nContent-Length: 0\r\n"
        wire.clear()
        watch.time(wire.protocol.dataReceived, posted("/mcp", head, ""))
        assert b" 415 " in wire.value(), wire.value()
    return watch.per_second


def signatures(place, kind):
    """Requests that are signed; what they ask is not even begun."""
    house, signer = house_at(place, kind, http_signatures=True)
    house.gatehouse.books.signatures._share = house.gatehouse.books.signatures.limit = 10**6
    wire = house.request("GET", "/health", {}).wire
    watch = Stopwatch()
    while watch.is_running():
        made = signed(signer, "POST", MCP, now=house.wall())
        lines = "".join(f"{name}: {value}\r\n" for name, value in made.items())
        wire.clear()
        head = f"{HEAD}{lines}Content-Length: 0\r\n"
        watch.time(wire.protocol.dataReceived, posted("/mcp", head, ""))
        assert b" 415 " in wire.value(), wire.value()
    return watch.per_second


def posted(path, head, body):
    return f"POST {path} HTTP/1.1\r\n{head}\r\n{body}".encode()


class TimedDoor(SecureDoor):
    """One that notes how long the daemon's end takes over what it hears."""

    watch = Stopwatch()

    def accept(self):
        wire = super().accept()
        hear = wire.protocol.dataReceived
        wire.protocol.dataReceived = lambda data: self.watch.time(hear, data)
        return wire


def handshakes(place, mutual):
    """TLS 1.3 handshakes, Twisted's part included, with a key of P-256 at both ends."""
    house, _ = house_at(place)
    door = TimedDoor(house, place / "tls", mutual)
    mine = pair_of(place, "alice", key("alice", P256)) if mutual else None
    door.watch = Stopwatch()
    while door.watch.is_running():
        end = TLSEnd(door, certificate=mine)
        end.ssl.shutdown()
        end.hear()
    return door.watch.per_second


def websocket_proofs(kind):
    """Mutual proofs at the daemon's end: its own signature, and the check of the client's."""
    host, signer = key("host", P256), PrivateKey.generate(kind)
    channel = Channel("mcp.example.com:8443", host.public.fingerprint, b"e" * 32)
    watch = Stopwatch()
    while watch.is_running():
        client = AskingProof(channel, host.public, signer, b"c" * 32)
        server = AnsweringProof(channel, host, b"s" * 32)
        answer = client.proof(watch.time(server.challenge, client.hello()))
        assert watch.time(is_believed, server, answer, signer.public)
    return watch.per_second


def is_believed(server, answer, public):
    claim = server.claim(answer)
    return public.verify(claim.algorithm, claim.signature, claim.signed)
