"""Clients that a person has let in: the code they get for it, and what follows from the code.

A *login* is all that comes of one approval: a code, good once and for a minute, for it an access
token and a refresh token, for that the next of both. A code or a refresh token that comes again was
read by somebody else, so everything that came of the login ends. It ends after its time, and with
the key that approved it, whatever happens.

Each text holds the login's id, by which it is found, and a secret, of which the table has a hash.
Logins end with the daemon, unless there is a store; then each change is written before it is told.
RFC 6749 sections 4.1.2 and 6, RFC 7636, RFC 9700 sections 4.13 and 4.14. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

import msgspec

from mcptwist.auth.addresses import Address, place_of
from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.givenout import GivenOut
from mcptwist.auth.keys import from_base64url, to_base64url
from mcptwist.auth.oauth.loginkeeping import Kept, LoginStore, NothingKept, digest_of_line
from mcptwist.auth.oauth.tokens import (
    ID_BYTES,
    Token,
    TokenTable,
    digest_of,
    is_ours,
    mark_of,
    written,
)

CODE_PREFIX, REFRESH_PREFIX = "mcp_ac_", "mcp_rt_"
CODE_LIFETIME = 60.0
"""Seconds that a code is good for."""

BROWSER, DEVICE = "browser", "device"
"""How it was given."""

_SECRET = 32
_ID_LENGTH = 24  # of the id as text
_LONGEST = 256
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z", re.ASCII)


class LoginsFull(Exception):
    """There are as many logins as there may be."""


class LoginRefused(Exception):
    """What was brought is not good.

    :ivar reason: for the audit log.
    :ivar is_stale: whether it looks like something that was good once.
    :ivar ended: the login that has ended because of it.
    :ivar tokens: how many tokens ended with that.
    :ivar is_kept: whether it is known beyond the daemon's end that it has ended.
    """

    def __init__(
        self,
        reason: str,
        is_stale: bool = False,
        ended: Login | None = None,
        tokens: int = 0,
        is_kept: bool = True,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_stale = is_stale
        self.ended = ended
        self.tokens = tokens
        self.is_kept = is_kept


class Allowed(msgspec.Struct, frozen=True):
    """What was approved: whom, for what, by whom.

    :ivar client: the ``client_id``.
    :ivar resource: the place that tokens will be for.
    :ivar grant: that of the key that approved; what is given is that key's.
    :ivar redirect_uri: where the code went to; empty for a device, which gets none.
    :ivar challenge: what the code's verifier is to be held against.
    :ivar jkt: the thumbprint of the key that the code must come with, if one was named.
    """

    client: str
    resource: Address
    scopes: frozenset[str]
    grant: Grant
    redirect_uri: str = ""
    challenge: str = ""
    jkt: str = ""


class Login:
    """One client that was let in.

    :ivar jkt: the thumbprint of the key that its refresh tokens are bound to, if to any.
    :ivar deadline: when it ends, by the clock that only goes forward.
    :ivar way: how it was given.
    :ivar begun: when it was, by that clock; before the clock began, if the daemon was restarted.
    :ivar renewed: when it became tokens last, by that clock; ``None`` if it never did.
    :ivar given_to: the address that they went to then.
    """

    __slots__ = (
        "allowed", "begun", "code", "code_deadline", "deadline", "given_to", "id", "jkt",
        "refresh", "renewed", "tokens", "way",
    )  # fmt: skip

    def __init__(
        self, id: str, allowed: Allowed, deadline: float, begun: float, way: str = BROWSER
    ) -> None:
        self.id = id
        self.allowed = allowed
        self.deadline = deadline
        self.way = way
        self.begun = begun
        self.renewed: float | None = None
        self.given_to = ""
        self.code: bytes | None = None
        self.code_deadline = 0.0
        self.refresh: bytes | None = None
        self.jkt: str | None = None
        self.tokens: list[Token] = []

    @property
    def digest(self) -> bytes:
        """What it is known by: its id, which is no secret."""
        return self.id.encode()

    @property
    def key(self) -> str:
        """The fingerprint of the key that approved it."""
        return self.allowed.grant.key.fingerprint

    @property
    def principal(self) -> str:
        """In whose name it is."""
        return self.allowed.grant.principal

    @property
    def client(self) -> str:
        """The ``client_id``."""
        return self.allowed.client

    @property
    def resource(self) -> str:
        """What its tokens are for, as they have it."""
        return self.allowed.resource.resource

    @property
    def scopes(self) -> frozenset[str]:
        """What was approved."""
        return self.allowed.scopes

    @property
    def login(self) -> str:
        """Its id, as tokens have it."""
        return self.id

    @property
    def used(self) -> float | None:
        """When a token of it was used or given last, by the clock that only goes forward."""
        moments = (self.renewed, *(token.used for token in self.tokens))
        return max((moment for moment in moments if moment is not None), default=None)

    @property
    def source(self) -> str:
        """The address where that was; empty where it is not known."""
        used = [token for token in self.tokens if token.used is not None]
        return max(used, key=_moment).source if used else self.given_to

    @property
    def mark(self) -> str:
        """What it is called in the audit log."""
        return mark_of(self.id)


class Logins(GivenOut[Login]):
    """All that are.

    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    :param tokens: where the tokens are that end with them.
    :param lifetime: seconds that a login may last; ``None``: for one token, that is not renewed.
    :param store: what keeps them beyond the daemon's end; nothing otherwise.
    :ivar store: that; what it cannot write is not told to anybody.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
        tokens: TokenTable,
        lifetime: float | None = 12 * 3600.0,
        limit: int = 10_000,
        per_key: int = 64,
        store: LoginStore | None = None,
    ) -> None:
        super().__init__(monotonic, limit, per_key)
        self._make_bytes = make_bytes
        self._tokens = tokens
        self._lifetime = lifetime
        self.store = store or NothingKept()
        self._over: list[str] = []

    def restore(self, grant_of: Callable[[str], Grant | None]) -> list[tuple[Kept, str]]:
        """Take up what was kept when the daemon ended.

        :param grant_of: what the key of a fingerprint may do now, if it is good.
        :return: those that have ended meanwhile before their time, and why.
        :raises CannotStart: they cannot be read.
        """
        ended, over = [], []
        for kept in self.store.all():
            left = 0.0 if self._lifetime is None else min(kept.left, self._lifetime)
            grant, place = grant_of(kept.key), place_of(kept.path)
            if left <= 0 or place is None:
                over.append(kept.id)
            elif grant is None or digest_of_line(grant) != kept.line:
                ended.append((kept, "the key is not good any more"))
            elif not self.has_room(kept.key):
                ended.append((kept, "there are too many"))
            else:
                resource = Address(kept.base, kept.path, place)
                self._take_up(kept, Allowed(kept.client, resource, kept.scopes, grant), left)
        self._over += [*over, *(kept.id for kept, _ in ended)]
        self._write_ends()
        self.store.close()
        return ended

    def begin(self, allowed: Allowed) -> tuple[Login, str]:
        """A new login, and the code for it.

        :raises LoginsFull: there are too many.
        """
        login = self.begin_without_code(allowed, BROWSER)
        text, login.code = self._written(CODE_PREFIX, login.id)
        login.code_deadline = self._monotonic() + CODE_LIFETIME
        return login, text

    def begin_without_code(self, allowed: Allowed, way: str = DEVICE) -> Login:
        """A new login of a client that has got its answer in another way.

        :param way: in which.
        :raises LoginsFull: there are too many.
        """
        has_room = self.has_room(allowed.grant.key.fingerprint)
        self._write_ends()
        if not has_room:
            raise LoginsFull
        lifetime = CODE_LIFETIME if self._lifetime is None else self._lifetime
        name = to_base64url(self._make_bytes(ID_BYTES))
        now = self._monotonic()
        login = Login(name, allowed, now + lifetime, now, way)
        self.add(login)
        return login

    def is_code(self, code: str) -> bool:
        """Whether *code* is one that was given out, and not used yet."""
        try:
            login, digest = self._found(CODE_PREFIX, code)
        except LoginRefused:
            return False
        return login.code is not None and hmac.compare_digest(digest, login.code)

    def redeem(
        self,
        code: str,
        client: str,
        redirect_uri: str | None,
        verifier: str,
        jkt: str | None = None,
    ) -> Login:
        """The login that *code* is for; it is never good again.

        :param redirect_uri: as the client says, if it does (OAuth 2.1 has it left out).
        :param jkt: the thumbprint of the key that was proved, if one was.
        :raises LoginRefused: it is not good. If it was, nothing that came of it is any more.
        """
        login, digest = self._found(CODE_PREFIX, code)
        if login.code is None:
            raise self._ended(login, "the code came a second time")
        known, login.code = login.code, None
        allowed = login.allowed
        if not hmac.compare_digest(digest, known):
            raise self._ended(login, "the code is wrong")
        if login.code_deadline <= self._monotonic():
            self.end(login)
            raise LoginRefused("the code has ended", is_stale=True)
        if client != allowed.client:
            raise self._ended(login, "the code is another client's")
        if redirect_uri is not None and redirect_uri != allowed.redirect_uri:
            raise self._ended(login, "redirect_uri is not where the code went to")
        if not is_verified(verifier, allowed.challenge):
            raise self._ended(login, "the verifier is not the challenge's")
        if allowed.jkt and jkt != allowed.jkt:
            raise self._ended(login, "the code is bound to another key")
        return login

    def renew(self, refresh: str, client: str, jkt: str | None) -> Login:
        """The login that a refresh token is for; the next one has to be made then.

        :param jkt: the thumbprint of the key that was proved, if one was.
        :raises LoginRefused: it is not good. If it was used before, the login has ended.
        """
        login, digest = self._found(REFRESH_PREFIX, refresh)
        if client != login.allowed.client:
            raise self._ended(login, "the refresh token is another client's")
        if login.refresh is None or not hmac.compare_digest(digest, login.refresh):
            raise self._ended(login, "the refresh token came a second time")
        if login.jkt is not None and login.jkt != jkt:
            raise LoginRefused("the refresh token is bound to another key")
        return login

    def of_refresh(self, refresh: str, client: str) -> Login | None:
        """The login of a client that a refresh token is for now."""
        try:
            login, digest = self._found(REFRESH_PREFIX, refresh)
        except LoginRefused:
            return None
        if login.refresh is None or not hmac.compare_digest(digest, login.refresh):
            return None
        return login if login.allowed.client == client else None

    def next_refresh(self, login: Login) -> str | None:
        """A new refresh token in the place of the last one; ``None`` where there are none.

        :raises NotKept: it cannot be written down; the last one is good still.
        :raises LoginRefused: another daemon has given the next one already.
        """
        if self._lifetime is None:
            return None
        text, refresh = self._written(REFRESH_PREFIX, login.id)
        if not self.store.keep(self._kept(login, refresh), login.refresh):
            raise self._ended(login, "the refresh token was used at another daemon")
        login.refresh = refresh
        return text

    def given(self, login: Login, token: Token) -> None:
        """A token came of it."""
        login.tokens = [each for each in login.tokens if each.is_live]
        login.tokens.append(token)
        login.renewed, login.given_to = token.begun, token.source
        if self._lifetime is None:
            login.deadline = token.deadline

    def end(self, login: Login) -> int:
        """End a login; how many tokens ended with it."""
        tokens = sum(token.is_live for token in login.tokens)
        is_news = self.take(login.digest) is not None
        self._write_ends()
        return tokens if is_news else 0

    def withdraw(self, key: str) -> int:
        """End all of that key; how many there were."""
        ended = super().withdraw(key)
        self._write_ends()
        return ended

    def expire(self) -> None:
        """End those whose time is over; to be called now and then."""
        super().expire()
        self._write_ends()
        self.store.look()

    def gone(self, one: Login) -> None:
        """Called with each that goes: what came of it goes, too."""
        for token in one.tokens:
            self._tokens.end(token)
        if one.refresh is not None:
            self._over.append(one.id)

    def _write_ends(self) -> None:
        """Write down which have ended, all at once."""
        over, self._over = self._over, []
        if over:
            self.store.end(over)

    def _kept(self, login: Login, refresh: bytes) -> Kept:
        """A login, as it is written down."""
        allowed, grant = login.allowed, login.allowed.grant
        return Kept(
            login.id,
            refresh,
            allowed.client,
            login.key,
            grant.principal,
            digest_of_line(grant),
            allowed.resource.base,
            allowed.resource.path,
            allowed.scopes,
            login.jkt,
            self.seconds_left(login),
            login.way,
            self._monotonic() - login.begun,
            login.given_to,
        )

    def _take_up(self, kept: Kept, allowed: Allowed, left: float) -> None:
        now = self._monotonic()
        login = Login(kept.id, allowed, now + left, now - kept.age, kept.way)
        login.refresh, login.jkt = kept.refresh, kept.jkt
        login.renewed, login.given_to = now - kept.unused, kept.source
        self.add(login)

    def is_open(self, login: Login) -> bool:
        """Whether anything can be done with it, or will be for whoever has its code."""
        now = self._monotonic()
        if login.deadline <= now:
            return False
        waits = login.code is not None and login.code_deadline > now
        return waits or login.refresh is not None or any(t.deadline > now for t in login.tokens)

    def seconds_left(self, login: Login) -> float:
        """How long it will last."""
        return max(0.0, login.deadline - self._monotonic())

    def _found(self, prefix: str, text: str) -> tuple[Login, bytes]:
        """The login whose id is in *text*, and the hash of what was brought."""
        raw = text.encode("utf-8", "replace")
        if len(raw) > _LONGEST or not is_ours(raw, prefix):
            raise LoginRefused("it is none of ours")
        login = self.known(raw.removeprefix(prefix.encode())[:_ID_LENGTH])
        if login is None:
            raise LoginRefused("the login has ended", is_stale=True)
        if login.deadline <= self._monotonic():
            self.end(login)
            raise LoginRefused("the login has ended", is_stale=True)
        return login, digest_of(raw)

    def _ended(self, login: Login, reason: str) -> LoginRefused:
        tokens = self.end(login)
        return LoginRefused(reason, ended=login, tokens=tokens, is_kept=not self.store.is_behind)

    def _written(self, prefix: str, name: str) -> tuple[str, bytes]:
        """A text for a login, and the hash that it is known by."""
        secret = self._make_bytes(_SECRET)
        text = written(from_base64url(name) + secret, prefix)
        return text, digest_of(text.encode())


def _moment(token: Token) -> float:
    return token.used or 0.0


def is_challenge(text: str) -> bool:
    """Whether it can be the challenge of a verifier, by S256 (RFC 7636 section 4.2)."""
    return _CHALLENGE.match(text) is not None


def is_verified(verifier: str, challenge: str) -> bool:
    """Whether *challenge* was made of *verifier*."""
    if not _VERIFIER.match(verifier):
        return False
    made = to_base64url(hashlib.sha256(verifier.encode()).digest())
    return hmac.compare_digest(made, challenge)
