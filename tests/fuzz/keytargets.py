"""What is fuzzed of the gatehouse: whatever strangers, servers and files can say to it.

Besides raising nothing of its own, a parser may not be talked into anything: what was guessed is
never believed.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from urllib.parse import quote, urlsplit

from mcptwist.auth.addresses import Address, Addresses
from mcptwist.auth.asking.approving import read_asked
from mcptwist.auth.asking.authorization import NotOurs, read_answer
from mcptwist.auth.asking.authorization import Request as Asked
from mcptwist.auth.asking.discovery import Issuer, read_challenge, read_issuer, read_resource
from mcptwist.auth.asking.inquiry import Document
from mcptwist.auth.asking.knownhosts import read_host
from mcptwist.auth.asking.registration import read_registration
from mcptwist.auth.asking.sshagent import _read_signature as read_signature_of_agent
from mcptwist.auth.asking.tokenendpoint import _granted as granted
from mcptwist.auth.authorizedkeys import (
    CALL,
    READ,
    LineProblem,
    read_authorized_keys,
    read_revoked_keys,
)
from mcptwist.auth.commands.approvecommand import shown
from mcptwist.auth.handles import States, Tasks
from mcptwist.auth.hostkeys import StatementRefused, read_statement
from mcptwist.auth.httpsignatures import (
    REQUIRED,
    BadSignature,
    Head,
    algorithm_of,
    read_signature,
)
from mcptwist.auth.jws import Malformed, read_jws, read_object
from mcptwist.auth.keys import P256, KeyProblem, PrivateKey, PublicKey
from mcptwist.auth.mutualproof import AnsweringProof, AskingProof, Channel, ProofFailed
from mcptwist.auth.oauth.approvaldesk import _agreed as agreed
from mcptwist.auth.oauth.approvals import APPROVE, Wanted, code_in, statement
from mcptwist.auth.oauth.assertions import AssertionRefused, read_assertion
from mcptwist.auth.oauth.authorizationrequest import NotSentBack, SentBack, read_request
from mcptwist.auth.oauth.devicedesk import _code_of as code_of
from mcptwist.auth.oauth.dpop import ProofReader, ProofRefused
from mcptwist.auth.oauth.forms import Refused, read_form
from mcptwist.auth.oauth.registrations import (
    CODE,
    Redirects,
    RegistrationRefused,
    client_of,
    register,
)
from mcptwist.auth.oauth.replay import ReplayCache
from mcptwist.auth.patterns import PatternProblem, Patterns, Sources
from mcptwist.auth.securitykeys import read_touched, written_touched
from mcptwist.auth.sshsig import SignatureRefused, read_sshsig
from mcptwist.auth.structuredfields import FieldProblem, read_dictionary
from mcptwist.errors import McpTwistError, SignInFailed
from mcptwist.messages import check_utf8
from mcptwist.params import read_params

NOW, ISSUER = 1_800_000_000.0, "https://a.example"
_LOOPBACK = tuple(f"http://{name}:8080" for name in ("localhost", "127.0.0.1", "[::1]"))
_OWNER = "ann SHA256:x"


@cache
def _key() -> PrivateKey:
    return PrivateKey.generate()


@cache
def _other_key() -> PrivateKey:
    return PrivateKey.generate(P256)


def authorized_keys(data: bytes) -> None:
    """A file of authorized keys: a line is understood or refused, never half of it."""
    text = data.decode("utf-8", "replace")
    read_authorized_keys(text)
    try:
        read_revoked_keys(text)
    except LineProblem:
        return


def known_hosts(data: bytes) -> None:
    """A line of ``known_hosts``."""
    try:
        read_host(data.decode("utf-8", "replace"))
    except ValueError:
        return


def patterns(data: bytes) -> None:
    """Lists of names and of networks."""
    text = data.decode("utf-8", "replace")
    for make in (Patterns, Sources):
        try:
            made = make(text)
        except (PatternProblem, KeyProblem):
            continue
        made.allow(text[::-1])


def public_key(data: bytes) -> None:
    """A public key in any form; one that was read is written as it was meant."""
    text = data.decode("utf-8", "replace")
    try:
        found = PublicKey.from_text(text)
    except KeyProblem:
        return
    assert PublicKey.from_text(found.words()) == found


def jwk(data: bytes) -> None:
    """A key as JSON."""
    try:
        found = PublicKey.from_jwk(read_object(data))
    except (KeyProblem, Malformed):
        return
    assert PublicKey.from_jwk(found.jwk()) == found


def signed_token(data: bytes) -> None:
    """A JWS in compact form; what it says of itself is read as it was written."""
    text = data.decode("latin-1")
    try:
        found = read_jws(text, 8192)
    except Malformed:
        return
    assert text.startswith(f"{found.signed.decode()}.")


def assertion(data: bytes) -> None:
    """A client's assertion: one that is read names its client, and ends soon."""
    try:
        found = read_assertion(data.decode("latin-1"), ISSUER, NOW, 0.0)
    except AssertionRefused:
        return
    assert found.client
    assert found.until <= NOW + 360
    assert not _key().public.verify(found.algorithm, found.signature, found.signed)


def proof(data: bytes) -> None:
    """A DPoP proof, whose signature nobody guesses."""
    reader = ProofReader(lambda: NOW, ReplayCache(lambda: NOW, lambda: 0.0))
    try:
        reader.read(data.decode("latin-1"), "POST", f"{ISSUER}/mcp")
    except ProofRefused:
        return
    raise AssertionError("a guessed proof was believed")


def ssh_signature(data: bytes) -> None:
    """An SSH signature in its armor, or what is in it; of what was never signed, it is none.

    Bytes in base64 are hard to guess, so what guides the guesses may leave the armor out.
    """
    for text in (data.decode("utf-8", "replace"), _armored(data)):
        try:
            found = read_sshsig(text)
        except SignatureRefused:
            continue
        assert not found.is_of(b"never signed", found.namespace)


def _armored(data: bytes) -> str:
    text = base64.b64encode(data).decode("ascii")
    lines = "\n".join(text[at : at + 70] for at in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n"


def approval_code(data: bytes) -> None:
    """A code as a person types it: read once, it is written in one way."""
    code = code_in(data.decode("utf-8", "replace"))
    assert code is None or code_in(code) == code


def structured_field(data: bytes) -> None:
    """A dictionary in a header: what is understood is understood in one way."""
    try:
        found = read_dictionary(data.decode("latin-1"), 4096)
    except FieldProblem:
        return
    again = ", ".join(f"{key}={member}" for key, member in found.items())
    assert read_dictionary(again, 1 << 20) == found


def message_signature(data: bytes) -> None:
    """The headers of a signed request, a line each; whose signature nobody guesses."""
    lines = [line.partition(b":") for line in data.split(b"\n")]
    pairs = [(name.strip().lower(), value.strip()) for name, _, value in lines]
    head = Head(
        "POST", f"{ISSUER}/mcp", lambda name: [value for field, value in pairs if field == name]
    )
    try:
        found = read_signature(head)
    except BadSignature:
        return
    assert all(f'"{name}": ' in found.signed.decode() for name in REQUIRED)
    key = _key().public
    algorithm = algorithm_of(key.kind, found.algorithm)
    assert algorithm is None or not key.verify(algorithm, found.signature, found.signed)


def approval_told(data: bytes) -> None:
    """What a server tells of what waits: nothing of it makes a statement about another server."""
    try:
        asked = read_asked(read_object(data), ISSUER, "BCDF-GHJK")
    except (McpTwistError, Malformed):
        return
    text = statement(APPROVE, asked.code, asked.wanted, asked.wanted.scopes)
    words = text.removesuffix("\n").split(" ")
    assert text.isascii()
    assert text.count("\n") == 1
    assert words[:3] == ["approve", "BCDF-GHJK", ISSUER]
    assert words[5].startswith(f"{ISSUER}/")
    assert len(words) == 6 + len(asked.wanted.scopes)
    assert all(line.isprintable() for line in shown(asked, asked.wanted.scopes).split("\n"))


def token_form(data: bytes) -> None:
    """The form at the token endpoint: each parameter once."""
    try:
        form = read_form(data)
    except Refused:
        return
    assert all(isinstance(value, str) for value in form.values())


def device_link(data: bytes) -> None:
    """The link to the page for a device: a code, in the one form that is shown, or none."""
    code = code_of(data)
    assert code is None or code_in(code) == code


def agreement(data: bytes) -> None:
    """The form by which somebody agrees: to what was wanted, and never to more."""
    try:
        found = agreed(read_form(data), _WANTED)
    except Refused:
        return
    assert found
    assert found <= _WANTED.scopes
    text = statement(APPROVE, "BCDF-GHJK", _WANTED, found)
    assert text.count(" ") == 5 + len(found)


_REDIRECTS = Redirects(["https://app.example"])
_BACK = "http://127.0.0.1:9/callback"
_WANTED = Wanted(
    ISSUER, "x", "x", _BACK, Address(ISSUER, "/mcp", "/"), frozenset({READ, CALL}), "127.0.0.1"
)
_ISSUER = Issuer(ISSUER, f"{ISSUER}/oauth/token", names_itself=True)


def login_answer(data: bytes) -> None:
    """What a browser brings to the redirect: nobody guesses the state, so nothing is a code."""
    asked = Asked(f"{ISSUER}/oauth/authorize", _ISSUER, _BACK, "s" * 43, "v" * 43)
    text = data.decode("latin-1")
    for query in (text, f"{text}&state={'s' * 43}&iss={quote(ISSUER, safe='')}"):
        try:
            code = read_answer(query, asked)
        except (NotOurs, SignInFailed) as problem:
            _check_shown(problem)
        else:
            assert query != text
            assert code.isprintable()


def _check_shown(problem: Exception) -> None:
    """What a person is shown steers no terminal."""
    assert str(problem).isprintable()


def token_answer(data: bytes) -> None:
    """What a token endpoint answers: a token that fits a header, for a while, or a reason."""
    for status in (200, 400):
        try:
            found = granted(Document(status, data, ""), ISSUER, "")
        except SignInFailed as problem:
            _check_shown(problem)
            continue
        assert found.token.isascii()
        assert found.token.isprintable()
        assert " " not in found.token
        assert 0 < found.lifetime < 1 << 32
        assert found.word("refresh_token").isprintable()


def registration_answer(data: bytes) -> None:
    """What we are told that we are called; it fits a form, and nothing else is believed."""
    asked = {"token_endpoint_auth_method": "none", "redirect_uris": [_BACK]}
    try:
        found = read_registration(data, asked, ISSUER)
    except SignInFailed:
        return
    assert found.name.isprintable()
    assert found.secret.isprintable()
    assert found.redirect == _BACK


def client_registration(data: bytes) -> None:
    """A client registers itself: where it leads to is what may be led to, and its id says so."""
    try:
        made = register(read_object(data), _REDIRECTS, (CODE,))
    except (Malformed, RegistrationRefused):
        return
    assert client_of(made.client.id) == made.client
    for uri in made.redirect_uris:
        assert made.client.leads_to(_REDIRECTS.plain(uri) or "")
        assert urlsplit(uri).hostname in ("127.0.0.1", "::1", "localhost", "app.example")


def authorization_request(data: bytes) -> None:
    """What a browser comes with: it goes nowhere but where its client may have it sent."""
    places = Addresses()
    try:
        asked = read_request(
            data,
            ISSUER,
            _REDIRECTS,
            lambda url: places.resource(ISSUER, url),
            lambda place: frozenset({"mcp:read"}),
        )
        url = asked.answered(code="x")
    except NotSentBack:
        return
    except SentBack as problem:
        url = problem.url
    assert urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost", "app.example")
    assert url.isascii()
    assert url.isprintable()


def bearer_challenge(data: bytes) -> None:
    """``WWW-Authenticate``, of any server."""
    found = read_challenge(data.split(b"\n"))
    assert found is None or found.scheme in ("bearer", "dpop")


def server_metadata(data: bytes) -> None:
    """The metadata of a resource and of an authorization server: they lead nowhere else."""
    try:
        resource = read_resource(data, f"{ISSUER}/mcp")
        assert urlsplit(resource.url).hostname == "a.example"
    except McpTwistError:
        pass
    try:
        server = read_issuer(data, ISSUER, f"{ISSUER}/mcp")
        assert server.token_endpoint.startswith("https://")
    except McpTwistError:
        pass


def host_keys(data: bytes) -> None:
    """What a server says of its next key, with signatures that nobody guesses."""
    try:
        read_statement(data, _key().public, ISSUER, NOW)
    except StatementRefused:
        return
    raise AssertionError("a guessed statement was believed")


def agent_answer(data: bytes) -> None:
    """What an ssh-agent answers when it is asked to sign, whichever key it was asked for."""
    for key, name in ((_key(), "ssh-ed25519"), (_other_key(), "ecdsa-sha2-nistp256")):
        try:
            signature = read_signature_of_agent(data, name, key.public)
        except KeyProblem:
            continue
        assert not key.public.verify(key.public.algorithms[0], signature, b"what was asked")
    try:
        touched = read_touched(data)
    except KeyProblem:
        return
    assert touched is None or written_touched(*touched) == data


def address(data: bytes) -> None:
    """A Host header and a path: no other name than ours is one, whatever it looks like."""
    host, _, path = data.partition(b" ")
    found = Addresses([ISSUER]).of(host, 8080, False, b"/" + path)
    assert found is None or found.base in (ISSUER, *_LOOPBACK), found


def mutual_proof(data: bytes) -> None:
    """Each message of the mutual proof, at the end that hears it."""
    channel = Channel("a.example", _key().public.fingerprint, b"e" * 32)
    server = AnsweringProof(channel, _key(), b"s" * 32)
    client = AskingProof(channel, _key().public, _key(), b"c" * 32)
    for hear in (server.challenge, server.claim, client.welcomed):
        try:
            hear(data)
        except ProofFailed:
            continue
    try:
        client.proof(data)
    except ProofFailed:
        return
    raise AssertionError("a guessed challenge was believed")


def handles(data: bytes) -> None:
    """Params with a state that was not given to who brings it, as any server might read them.

    They are text in UTF-8, as all messages are that are let in.
    """
    states, tasks = States(b"s" * 32), Tasks()
    try:
        check_utf8(data)
        passed = bytes(states.opened(data, _OWNER)) if read_params(data) is None else data
    except McpTwistError:
        return
    try:
        read = json.loads(passed)
    except (ValueError, RecursionError):
        return
    if isinstance(read, dict):
        assert not any(name.casefold() == "requeststate" for name in read)
    states.sealed(data, _OWNER)
    tasks.note("s", data, _OWNER)


ALL = (
    authorized_keys, known_hosts, patterns, public_key, jwk, signed_token, assertion, proof,
    structured_field, message_signature, ssh_signature, approval_code, approval_told, token_form,
    device_link, agreement, client_registration, authorization_request,
    login_answer, token_answer, registration_answer,
    bearer_challenge, server_metadata, host_keys, mutual_proof, handles, agent_answer, address,
)  # fmt: skip
