"""Whether a server shows the key it should: one that was given, or the one ``known_hosts`` has.

As ssh does. A server that is known must show the key it is known by, whoever vouches for its
certificate. One that is not known is taken if its certificate is trusted for its name, else not,
unless new ones are to be accepted: then it is known from then on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.auth.asking.knownhosts import CHANGED, KNOWN, REVOKED, KnownHosts, line_of, name_of
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import KeyProblem, PublicKey
from mcptwist.auth.keystore import KeyList
from mcptwist.errors import HostNotTrusted
from mcptwist.interfaces import IHostKeys


@implementer(IHostKeys)
class Pinning:
    """The keys of servers that are believed.

    :param path: ``known_hosts``, which need not exist.
    :param given: fingerprints; with them, the server must show one of these keys.
    :param accept_new: whether a server that is met for the first time is believed.
    :ivar recognised: told each time a server shows the key that ``known_hosts`` has for it.
    :ivar distrusted: told each time one shows a key that is not to be believed, and why.
    """

    log = Logger()

    def __init__(self, path: str, given: Iterable[str] = (), accept_new: bool = False) -> None:
        self.path = path
        self.accept_new = accept_new
        self.recognised: Callable[[str, int, PublicKey], None] = lambda host, port, key: None
        self.distrusted: Callable[[HostNotTrusted], object] = lambda problem: None
        self._given = frozenset(given)

    def judge(self, host: str, port: int, key: bytes, vouched: bool) -> None:
        """See :meth:`mcptwist.interfaces.IHostKeys.judge`."""
        try:
            self._judge(host, port, key, vouched)
        except HostNotTrusted as problem:
            self.distrusted(problem)
            raise

    def _judge(self, host: str, port: int, key: bytes, vouched: bool) -> None:
        shown = _read_key(key)
        known = self._known()
        verdict = _verdict(known, host, port, shown)
        if verdict == REVOKED:
            raise HostNotTrusted(_revoked(host, port, shown, self.path))
        if self._given:
            if shown is None or shown.fingerprint not in self._given:
                raise HostNotTrusted(_not_given(host, port, shown, self._given))
        elif verdict == CHANGED:
            raise HostNotTrusted(_changed(host, port, shown, known, self.path))
        elif verdict != KNOWN and not vouched:
            self._meet(host, port, shown)
        elif verdict == KNOWN and shown is not None:
            self.recognised(host, port, shown)

    def is_settled(self, host: str, port: int) -> bool:
        """Whether nobody has to be asked about a host, as its key is known or was given."""
        return bool(self._given or self.accept_new or self._known().keys(host, port))

    def believe(self, host: str, port: int, key: PublicKey) -> None:
        """Know that host by that key from now on.

        :raises FileProblem: ``known_hosts`` cannot be written.
        """
        KeyList(self.path).add(line_of(host, port, key))

    def _meet(self, host: str, port: int, shown: PublicKey | None) -> None:
        """A host that nobody vouches for is met for the first time."""
        if not self.accept_new or shown is None:
            raise HostNotTrusted(_unknown(host, port, shown))
        try:
            self.believe(host, port, shown)
        except FileProblem as problem:
            raise HostNotTrusted(str(problem)) from None
        self.log.warn(
            "{host} is known by its key {fingerprint} from now on, in {path}",
            host=name_of(host, port),
            fingerprint=shown.fingerprint,
            path=self.path,
        )

    def _known(self) -> KnownHosts:
        """What the file says now.

        :raises HostNotTrusted: it cannot be believed.
        """
        try:
            return KnownHosts(KeyList(self.path).text())
        except FileProblem as problem:
            raise HostNotTrusted(str(problem)) from None


def _read_key(key: bytes) -> PublicKey | None:
    """The key, if it is of a kind that can be known."""
    try:
        return PublicKey.from_spki(key, SMALLEST_HOST_RSA)
    except KeyProblem:
        return None


def _verdict(known: KnownHosts, host: str, port: int, shown: PublicKey | None) -> str:
    if shown is not None:
        return known.verdict(host, port, shown)
    return CHANGED if known.keys(host, port) else ""


def _changed(host: str, port: int, shown: PublicKey | None, known: KnownHosts, path: str) -> str:
    name = f"{host}:{port}"
    were = " or ".join(key.fingerprint for key in known.keys(host, port))
    return (
        f"REMOTE HOST IDENTIFICATION HAS CHANGED: {name} shows the key {_said(shown)}, and {path} "
        f"has {were or 'none that is still good'}. Somebody may be in between right now "
        "(man-in-the-middle), or the server has a new key. Nothing was sent. If you know that its "
        f"key is new, forget the old one: mcptwist keygen -R {name}{_file(path)}"
    )


def _not_given(host: str, port: int, shown: PublicKey | None, given: Iterable[str]) -> str:
    return (
        f"HOST KEY VERIFICATION FAILED: {host}:{port} shows the key {_said(shown)}, and must show "
        f"{' or '.join(sorted(given))}, as was said (host_key, --host-key). Nothing was sent. "
        "Correct that if you know that its key is new"
    )


def _revoked(host: str, port: int, shown: PublicKey | None, path: str) -> str:
    return (
        f"REVOKED HOST KEY DETECTED: {host}:{port} shows the key {_said(shown)}, which {path} "
        "marks as @revoked. It can be anybody who shows it. Nothing was sent"
    )


def _unknown(host: str, port: int, shown: PublicKey | None) -> str:
    name = f"{host}:{port}"
    if shown is None:
        return (
            f"nobody vouches for {name}, and its key is of a kind that cannot be pinned (Ed25519, "
            "ECDSA P-256 and RSA can): nothing was sent. Have its certificate trusted with ca"
        )
    return (
        f"nobody vouches for {name}, whose key is {shown.fingerprint}, and known_hosts does not "
        "name it: nothing was sent. Compare that with what the server prints when it starts; then "
        f"give it (--host-key, host_key), or connect once from a terminal (mcptwist list) and say "
        f"yes, or add what mcptwist keyscan {name} prints to known_hosts"
    )


def _said(shown: PublicKey | None) -> str:
    return "of another kind" if shown is None else shown.fingerprint


def _file(path: str) -> str:
    return f" -f {path}" if os.path.basename(path) != "known_hosts" else ""
