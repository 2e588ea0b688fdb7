"""Meeting a host for the first time: looking at its key, and asking the person about it.

As ssh asks: whoever cannot be asked, because there is no terminal, has not said yes. What is
believed here goes into ``known_hosts``, and the connection that follows must show the same key.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from collections.abc import Callable
from time import time
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mcptwist.auth.asking.knownhosts import name_of
from mcptwist.auth.asking.pinning import Pinning
from mcptwist.auth.hostkeys import LARGEST, PATH, HostKeys, StatementRefused, read_statement
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import KeyProblem, PublicKey
from mcptwist.errors import HostNotTrusted, ServerUnreachable

_ENCRYPTED = {"https": 443, "wss": 443}
_HTTPS = 443
_TRIES = 3
_LONGEST = 20.0
"""Seconds that a host may take to show its key."""

Ask = Callable[[str], str]


def scan(host: str, port: int, timeout: float = _LONGEST) -> PublicKey:
    """The key that a host shows; nobody has vouched for it.

    :param timeout: seconds that it may take.
    :raises ServerUnreachable: it shows none.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    certificate = _handshake(host, port, context, timeout)
    try:
        return _key_of(certificate)
    except KeyProblem as problem:
        raise ServerUnreachable(f"{host}:{port}: {problem}") from None


def announced(
    host: str,
    port: int,
    key: PublicKey,
    timeout: float = _LONGEST,
    wall: Callable[[], float] = time,
) -> HostKeys | None:
    """What a host says of its keys, on a connection on which it shows *key*; ``None`` if nothing.

    :param wall: seconds since 1970.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = f"[{host}]" if ":" in host else host.lower()
    authority = name if port == _HTTPS else f"{name}:{port}"
    connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = _key_of(connection.sock.getpeercert(True) or b"")
        connection.request("GET", PATH, headers={"Host": authority})
        response = connection.getresponse()
        text = response.read(LARGEST + 1)
        if response.status != http.client.OK or shown != key:
            return None
        return read_statement(text, shown, f"https://{authority}", wall())
    except (OSError, http.client.HTTPException, KeyProblem, StatementRefused):
        return None
    finally:
        connection.close()


def _key_of(certificate: bytes) -> PublicKey:
    """:raises KeyProblem: it is of a kind that is not taken."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey.from_spki(spki, SMALLEST_HOST_RSA)


def introduce(url: str, keys: Pinning, ca: str | None = None, ask: Ask | None = None) -> None:
    """Have the person say whether the server at *url* is the one, unless that is settled.

    :param keys: what is known; what the person believes is added.
    :param ca: a PEM file of the certificates that are trusted in place of the system's.
    :param ask: shows a question and returns the answer; on the terminal otherwise, if there is one.
    :raises HostNotTrusted: the person says that it is not.
    :raises ServerUnreachable: it does not answer.
    :raises FileProblem: ``known_hosts`` cannot be written.
    """
    parts = urlsplit(url)
    ask = ask or on_terminal()
    if parts.scheme.lower() not in _ENCRYPTED or not parts.hostname or ask is None:
        return
    host, port = parts.hostname, parts.port or _ENCRYPTED[parts.scheme.lower()]
    if keys.is_settled(host, port) or _is_vouched(host, port, ca):
        return
    key = scan(host, port)
    _ask_about(host, port, key, ask)
    keys.believe(host, port, key)
    _tell(f"Permanently added '{name_of(host, port)}' to {keys.path}.")


def _ask_about(host: str, port: int, key: PublicKey, ask: Ask) -> None:
    """:raises HostNotTrusted: unless the answer is yes, or the key's fingerprint."""
    question = (
        f"The authenticity of host '{name_of(host, port)}' can't be established.\n"
        f"Its key is {key.kind}, and the key's fingerprint is {key.fingerprint}.\n"
        "Compare it with what the server prints when it starts.\n"
        "Are you sure you want to continue connecting (yes/no/[fingerprint])? "
    )
    for _ in range(_TRIES):
        answer = ask(question).strip()
        if answer.lower() == "yes" or answer == key.fingerprint:
            return
        if answer.lower() == "no" or answer.startswith("SHA256:") or not answer:
            break
        question = "Please type 'yes', 'no' or the fingerprint: "
    raise HostNotTrusted("host key verification failed; nothing was sent")


def on_terminal() -> Ask | None:
    """Asks the person at the terminal; ``None`` where there is none."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> str:
        print(question, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline()

    return ask


def _tell(text: str) -> None:
    print(f"mcptwist: {text}", file=sys.stderr, flush=True)


def _is_vouched(host: str, port: int, ca: str | None) -> bool:
    """Whether its certificate is trusted, and has its name."""
    try:
        context = ssl.create_default_context(cafile=ca)
        # An issuer's own certificate, or one that vouches for itself, may stand in that file.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _handshake(host, port, context, _LONGEST)
    except ssl.SSLCertVerificationError:
        return False
    except OSError as problem:
        raise ServerUnreachable(f"{ca} cannot be used: {problem}") from None
    return True


def _handshake(host: str, port: int, context: ssl.SSLContext, timeout: float) -> bytes:
    """The certificate that is shown in a handshake after which nothing is said.

    :raises ssl.SSLCertVerificationError: it is not trusted, where that is asked for.
    :raises ServerUnreachable: there is no handshake.
    """
    try:
        with (
            socket.create_connection((host, port), timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            return encrypted.getpeercert(True) or b""
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or str(problem)
        if getattr(problem, "reason", "") in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            why = "what answers there does not speak TLS"
        raise ServerUnreachable(f"{host}:{port} cannot be reached: {why}") from None
