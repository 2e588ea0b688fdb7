"""Asking a daemon for a token, from the shell: discovery, an assertion, and the token.

Whom it talks to is settled before a byte is sent: a host that ``known_hosts`` names must show that
key, any other a certificate that this system trusts, and without encryption there is only this
machine. Nothing that comes from over there leads elsewhere: no redirect is followed, and what the
metadata names must be where the person pointed.

MCP 2026-07-28, *Authorization*; RFC 9728, RFC 8414, RFC 7523.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mcptwist.auth.addresses import ISSUER, PROTECTED
from mcptwist.auth.assertions import LIFETIME, TYPE
from mcptwist.auth.jws import make_jws
from mcptwist.auth.keys import ISigner, KeyProblem, PublicKey
from mcptwist.auth.knownhosts import KNOWN, KnownHosts

LARGEST = 64 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443}


class AskingFailed(Exception):
    """There is no token; the message tells a person why."""


class HostNotTrusted(AskingFailed):
    """The host is not whom it should be, or nobody knows who it is; nothing was sent to it."""


class Asker:
    """Talks to one daemon.

    :param known: the hosts whose keys are known.
    :param timeout: seconds that each step may take.
    """

    def __init__(self, known: KnownHosts, timeout: float = 20.0) -> None:
        self._known = known
        self._timeout = timeout

    def token(
        self,
        url: str,
        signer: ISigner,
        client: str,
        scope: str = "",
        seconds: int | None = None,
        wall: Callable[[], float] = time.time,
        make_id: Callable[[], str] = lambda: "",
    ) -> dict[str, Any]:
        """A token for the MCP endpoint at *url*.

        :param client: a principal's name, or the key's fingerprint.
        :param seconds: that it should be good for.
        :return: what the token endpoint said (RFC 6749 section 5.1).
        :raises AskingFailed: with the reason.
        """
        parts = split(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        issuer = self._issuer(parts, origin)
        endpoint = self._endpoint(parts, origin, issuer)
        now = int(wall())
        claims: dict[str, Any] = {"iss": client, "sub": client, "aud": issuer, "jti": make_id()}
        claims |= {"iat": now, "exp": now + int(LIFETIME) // 5}
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": TYPE,
            "client_assertion": make_jws(signer, {"typ": "JWT"}, claims),
            "resource": f"{origin}{parts.path}",
            "scope": scope,
            "expires_in": str(seconds) if seconds else "",
        }
        body = urlencode({name: value for name, value in form.items() if value})
        return self._exchange(parts, "POST", urlsplit(endpoint).path, body)

    def _issuer(self, parts: SplitResult, origin: str) -> str:
        found = self._exchange(parts, "GET", PROTECTED + parts.path)
        issuers = found.get("authorization_servers")
        if found.get("resource") != f"{origin}{parts.path}":
            raise AskingFailed("the metadata there is of another resource")
        if not isinstance(issuers, list) or not issuers or issuers[0] != origin:
            raise AskingFailed("tokens for it are given elsewhere; only the daemon itself is asked")
        return origin

    def _endpoint(self, parts: SplitResult, origin: str, issuer: str) -> str:
        found = self._exchange(parts, "GET", ISSUER)
        endpoint = found.get("token_endpoint")
        if found.get("issuer") != issuer:
            raise AskingFailed("the metadata there is of another authorization server")
        if not isinstance(endpoint, str) or not endpoint.startswith(f"{origin}/"):
            raise AskingFailed("the token endpoint is elsewhere")
        return endpoint

    def _exchange(
        self, parts: SplitResult, method: str, path: str, body: str = ""
    ) -> dict[str, Any]:
        connection = self.connect(parts)
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body.encode() or None, headers)
            response = connection.getresponse()
            text = response.read(LARGEST)
        except (OSError, http.client.HTTPException) as problem:
            raise AskingFailed(f"{parts.netloc} does not answer: {problem}") from None
        finally:
            connection.close()
        return _read(response.status, text, path)

    def connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        """A connection to who it should be.

        :raises AskingFailed: there is none.
        """
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        if parts.scheme == "http":
            if host not in _LOOPBACK:
                raise HostNotTrusted("without https a token could be read on its way; use https")
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        pinned = self._known.keys(host, port)
        context = ssl.create_default_context()
        if pinned:
            # The key itself is what is checked; who vouches for it does not matter.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError:
            raise HostNotTrusted(_unknown(host, port)) from None
        except OSError as problem:
            raise AskingFailed(f"{parts.netloc} cannot be reached: {problem}") from None
        if pinned:
            self._check(connection, host, port)
        return connection

    def _check(self, connection: http.client.HTTPSConnection, host: str, port: int) -> None:
        key = shown_key(connection.sock)
        verdict = self._known.verdict(host, port, key)
        if verdict != KNOWN:
            connection.close()
            raise HostNotTrusted(
                f"THE HOST KEY OF {host}:{port} IS {verdict.upper()}: it shows {key.fingerprint}. "
                "Somebody may be in between, or the daemon has a new key. Nothing was sent. If you "
                f"know that it is new: mcptwist keygen -R {host}:{port}"
            )


def split(url: str) -> SplitResult:
    """The parts of an MCP endpoint's URL.

    :raises AskingFailed: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or "@" in parts.netloc:
        raise AskingFailed("that is no URL of an MCP endpoint, such as https://HOST/mcp")
    return parts._replace(path=parts.path or "/mcp", netloc=parts.netloc.lower())


def _unknown(host: str, port: int) -> str:
    return (
        f"nobody vouches for {host}:{port}, and known_hosts does not name it; compare what "
        f"mcptwist keyscan {host}:{port} prints with what the daemon prints, and add the line"
    )


def _read(status: int, text: bytes, path: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise AskingFailed(f"{path} answers {status}, and not as a daemon that wants keys would")
    if status != 200:
        said = found.get("error_description") or found.get("error")
        shown = said if isinstance(said, str) and said.isprintable() else "no reason"
        raise AskingFailed(f"refused ({status}): {shown[:200]}")
    return found


def shown_key(socket: ssl.SSLSocket) -> PublicKey:
    """The key that the far end of a TLS connection has proved to hold.

    :raises HostNotTrusted: it is of a kind that is not taken.
    """
    certificate = x509.load_der_x509_certificate(socket.getpeercert(True) or b"")
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        return PublicKey.from_spki(spki, 2048)
    except KeyProblem as problem:
        raise HostNotTrusted(f"the host's key: {problem}") from None
