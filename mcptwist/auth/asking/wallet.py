"""What people agreed to, kept: tokens, what renews them, and who we are to those who gave them.

One file, which nobody else can read, written so that it is whole, by several programs of the same
person. Each grant is for one server and comes from one issuer, and is shown to no other. A token
that renews is good once; programs take turns with it (:meth:`Wallet.turn`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mcptwist.auth.asking.registration import Client
from mcptwist.auth.keyfiles import FileProblem, read_strictly
from mcptwist.auth.keystore import KeyList
from mcptwist.errors import SignInFailed

FILE = "grants.json"
MOST = 256
"""Grants, and registrations, that are kept."""
_VERSION = 1
_LOOK, _PATIENCE = 0.25, 30.0
"""Seconds between two looks whether it is our turn, and until we go without."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a person agreed to.

    :ivar url: of the server, as it was asked for.
    :ivar resource: what it calls itself.
    :ivar bound: whether it was to be bound to a key.
    :ivar asked: the scopes that were asked for.
    :ivar scopes: those that were granted.
    :ivar proof: the algorithm of the proofs that the token is bound to; empty if it is not.
    :ivar key: what these are made with, PEM.
    :ivar ends: when the token is good no more, seconds since 1970.
    :ivar refresh: what gets the next token; empty if nothing does.
    """

    url: str
    issuer: str
    resource: str
    client: Client
    bound: bool
    asked: tuple[str, ...]
    scopes: tuple[str, ...]
    token: str
    proof: str
    key: str
    ends: float
    refresh: str

    def __repr__(self) -> str:
        return f"<Grant of {self.issuer} for {self.url}>"

    @property
    def place(self) -> tuple[str, str, bool]:
        """Which one it is."""
        return self.url, self.issuer, self.bound


class Contents(msgspec.Struct, frozen=True):
    """All that is in the file.

    :ivar clients: who we registered as, by issuer.
    """

    version: int = _VERSION
    grants: tuple[Grant, ...] = ()
    clients: dict[str, Client] = {}


class Wallet:
    """Keeps grants.

    :param path: of the file; it need not be there.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = KeyList(path)

    def contents(self) -> Contents:
        """All that is kept.

        :raises SignInFailed: the file cannot be believed or read.
        """
        if not os.path.lexists(self.path):
            return Contents()
        try:
            return self._read(read_strictly(self.path, secret=True))
        except FileProblem as problem:
            raise SignInFailed(str(problem)) from None

    def find(self, url: str, issuer: str, bound: bool) -> Grant | None:
        """What was agreed to for one server."""
        known = (each for each in self.contents().grants if each.place == (url, issuer, bound))
        return next(known, None)

    def of(self, url: str) -> list[Grant]:
        """All grants for one server."""
        return [each for each in self.contents().grants if each.url == url]

    def client(self, issuer: str) -> Client | None:
        """Who we registered as there."""
        return self.contents().clients.get(issuer)

    def keep(self, grant: Grant) -> None:
        """Keep a grant, in the place of an earlier one.

        :raises SignInFailed: it cannot be written, or there are too many.
        """

        def kept(found: Contents) -> Contents:
            others = tuple(each for each in found.grants if each.place != grant.place)
            return msgspec.structs.replace(found, grants=(*others, grant))

        self._change(kept)

    def forget(self, grant: Grant) -> None:
        """Keep it no more, unless it was renewed meanwhile."""

        def forgotten(found: Contents) -> Contents:
            others = tuple(each for each in found.grants if each != grant)
            return msgspec.structs.replace(found, grants=others)

        self._change(forgotten)

    def introduce(self, issuer: str, client: Client | None) -> None:
        """Remember who we are to an issuer; ``None`` to forget it."""

        def introduced(found: Contents) -> Contents:
            others = {name: each for name, each in found.clients.items() if name != issuer}
            clients = others if client is None else {**others, issuer: client}
            return msgspec.structs.replace(found, clients=clients)

        self._change(introduced)

    async def turn(self, clock: IReactorTime) -> Callable[[], None]:
        """Wait until no other program renews what is here; returns what ends our turn.

        :raises SignInFailed: nothing can be written here, so that what comes of it would be lost.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            handle = os.open(f"{self.path}.turn", flags, 0o600)
        except OSError as problem:
            raise SignInFailed(f"{self.path} cannot be renewed: {problem.strerror}") from None
        until = clock.seconds() + _PATIENCE
        while not _taken(handle) and clock.seconds() < until:
            waiting: Any = deferLater(clock, _LOOK, lambda: None)
            try:
                await waiting
            except BaseException:
                os.close(handle)
                raise
        return lambda: os.close(handle)

    def _change(self, changed: Callable[[Contents], Contents]) -> None:
        self.contents()  # nobody else can have read it, or nothing is added

        def rewritten(text: str) -> str:
            after = changed(self._read(text))
            if max(len(after.grants), len(after.clients)) > MOST:
                raise FileProblem(f"{self.path} holds {MOST} grants; mcptwist logout some")
            return msgspec.json.format(msgspec.json.encode(after)).decode() + "\n"

        try:
            self._file.rewrite(rewritten)
        except FileProblem as problem:
            raise SignInFailed(str(problem)) from None

    def _read(self, text: str) -> Contents:
        if not text:
            return Contents()
        try:
            found = msgspec.json.decode(text, type=Contents)
        except msgspec.DecodeError as problem:
            raise FileProblem(f"{self.path} is none of ours: {problem}") from None
        if found.version != _VERSION:
            raise FileProblem(f"{self.path} is of a later version of mcptwist")
        return found


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
