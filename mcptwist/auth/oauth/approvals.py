"""What waits for somebody with a key to say yes: a browser that logs in, a device.

Each is known by a code that a person can type. Whoever holds a key that is let in signs a statement
that names the code and what it is for (:func:`statement`); what was asked for is given to that key
then, and never more than its line in ``authorized_keys`` allows.

RFC 8628 section 6.1 (codes that people type). Pure.
"""

from __future__ import annotations

import re
import string
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import quote, urlsplit

import msgspec

from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import ADMIN, CALL, READ, SCOPES, SUBSCRIBE, Grant
from mcptwist.auth.penalties import source_of

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""Twenty letters: no vowels, so that no words come about, and none that looks like another."""
_LETTERS = 8
_REMEMBERED = 100_000
_UNBIASED = 256 // len(ALPHABET) * len(ALPHABET)
_TYPED = re.compile(rf"[{ALPHABET}]{{4}}[ -]?[{ALPHABET}]{{4}}\Z", re.ASCII | re.IGNORECASE)

APPROVE, DENY = "approve", "deny"
"""What may be said to what waits."""
PURPOSE = "mcptwist-approve"
"""What signatures about it are for: their namespace."""
DENIED, EXPIRED = "denied", "expired"
"""How it may end where it was not approved."""


MEANING: Mapping[str, str] = {
    READ: "see what there is, read resources and prompts",
    CALL: "call tools",
    SUBSCRIBE: "be told of changes",
    ADMIN: "administer the daemon",
}
"""What scopes let somebody do, in words for the person who approves."""


class ApprovalsFull(Exception):
    """As much waits as may, or as much from one source."""


class Approved(msgspec.Struct, frozen=True):
    """Somebody said yes.

    :ivar grant: that of the key that said so; what is given out is that key's.
    :ivar scopes: what was approved, cut to what that key's line allows.
    """

    grant: Grant
    scopes: frozenset[str]


Outcome: TypeAlias = Approved | str


class Wanted(msgspec.Struct, frozen=True):
    """What somebody wants to be let in for.

    :ivar issuer: under which of our names they ask.
    :ivar client_name: as the client calls itself; anybody may claim any.
    :ivar redirect_uri: where a browser is sent back to, empty for a device.
    :ivar resource: the place that tokens will be for.
    :ivar source: where the question came from: an address, or ``unix``.
    """

    issuer: str
    client_id: str
    client_name: str
    redirect_uri: str
    resource: Address
    scopes: frozenset[str]
    source: str

    @property
    def host(self) -> str:
        """Where a browser is sent back to: a host and a port, empty for a device."""
        try:
            return urlsplit(self.redirect_uri).netloc
        except ValueError:
            return ""


class Bounds(msgspec.Struct, frozen=True):
    """How much may wait.

    :ivar limit: of all sources.
    :ivar per_source: of one; the penalties have it what is one.
    :ivar lifetime: seconds that a code is good for.
    :ivar tries: wrong signatures for one code, with which it ends.
    """

    limit: int = 1000
    per_source: int = 10
    lifetime: float = 300.0
    tries: int = 5


class Pending:
    """One that waits.

    :ivar code: what it is known by, ``ABCD-EFGH``.
    :ivar deadline: when it ends, by the clock that only goes forward.
    :ivar outcome: ``None`` while it waits; then an :class:`Approved`, ``DENIED`` or ``EXPIRED``.
    :ivar misses: how many wrong signatures there were for it.
    """

    __slots__ = ("_told", "code", "deadline", "misses", "outcome", "wanted")

    def __init__(self, code: str, wanted: Wanted, deadline: float) -> None:
        self.code = code
        self.wanted = wanted
        self.deadline = deadline
        self.outcome: Outcome | None = None
        self.misses = 0
        self._told: list[Callable[[Pending], object]] = []

    def when_settled(self, told: Callable[[Pending], object]) -> None:
        """Have *told* called with this, once, as soon as it has an outcome."""
        if self.outcome is not None:
            told(self)
        else:
            self._told.append(told)

    def forget(self, told: Callable[[Pending], object]) -> None:
        """Whoever was to be told does not wait any more."""
        if told in self._told:
            self._told.remove(told)

    def settle(self, outcome: Outcome) -> None:
        """For :class:`Approvals` to call, once."""
        assert self.outcome is None
        self.outcome = outcome
        told, self._told = self._told, []
        for each in told:
            each(self)


class Approvals:
    """All that wait.

    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    :ivar refused: how often there was no room for one more.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
        bounds: Bounds | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self._monotonic = monotonic
        self._make_bytes = make_bytes
        self.refused = 0
        self._decided: OrderedDict[str, None] = OrderedDict()
        self._waiting: OrderedDict[str, Pending] = OrderedDict()
        self._of_source: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self) -> list[Pending]:
        """All that wait, the oldest first."""
        self.expire()
        return list(self._waiting.values())

    def seconds_left(self, pending: Pending) -> float:
        """How long it will wait yet."""
        return max(0.0, pending.deadline - self._monotonic())

    def ask(self, wanted: Wanted) -> Pending:
        """Let one more wait.

        :raises ApprovalsFull: it would be one too many.
        """
        self.expire()
        source = source_of(wanted.source)
        if (
            len(self._waiting) >= self.bounds.limit
            or self._of_source[source] >= self.bounds.per_source
        ):
            self.refused += 1
            raise ApprovalsFull
        code = self._new_code()
        pending = Pending(code, wanted, self._monotonic() + self.bounds.lifetime)
        self._waiting[code] = pending
        self._of_source[source] += 1
        return pending

    def find(self, code: str) -> Pending | None:
        """What waits under that code, in the form that :func:`code_in` has."""
        self.expire()
        return self._waiting.get(code)

    def approve(self, pending: Pending, grant: Grant, scopes: frozenset[str]) -> None:
        """A key said yes, which was proved.

        :param scopes: what it said yes to, cut to what its line allows.
        """
        self._decide(pending, Approved(grant, scopes))

    def deny(self, pending: Pending) -> None:
        """A key said no, which was proved."""
        self._decide(pending, DENIED)

    def miss(self, pending: Pending) -> None:
        """A signature for it was wrong; with one too many, it ends."""
        pending.misses += 1
        if pending.misses >= self.bounds.tries:
            self._settle(pending, EXPIRED)

    def expire(self) -> None:
        """End what waits for too long; to be called now and then."""
        now = self._monotonic()
        while self._waiting:
            pending = next(iter(self._waiting.values()))
            if pending.deadline > now:
                return
            self._settle(pending, EXPIRED)

    def _decide(self, pending: Pending, outcome: Outcome) -> None:
        """Never again is that code given out: there is a signature about it."""
        self._decided[pending.code] = None
        if len(self._decided) > _REMEMBERED:
            self._decided.popitem(last=False)
        self._settle(pending, outcome)

    def _settle(self, pending: Pending, outcome: Outcome) -> None:
        del self._waiting[pending.code]
        source = source_of(pending.wanted.source)
        self._of_source[source] -= 1
        if not self._of_source[source]:
            del self._of_source[source]
        pending.settle(outcome)

    def _new_code(self) -> str:
        while True:
            code = self._drawn()
            if code not in self._waiting and code not in self._decided:
                return code

    def _drawn(self) -> str:
        """A code, each letter as likely as any."""
        letters: list[str] = []
        while len(letters) < _LETTERS:
            drawn = (each for each in self._make_bytes(_LETTERS) if each < _UNBIASED)
            letters.extend(ALPHABET[each % len(ALPHABET)] for each in drawn)
        return f"{''.join(letters[:4])}-{''.join(letters[4:_LETTERS])}"


def code_in(text: str) -> str | None:
    """The code that somebody typed, as it is written here; ``None`` if it is none.

    Small letters will do, and a space or nothing in the middle.
    """
    typed = text.strip()
    if not _TYPED.match(typed):
        return None
    return f"{typed[:4]}-{typed[-4:]}".upper()


def statement(verb: str, code: str, wanted: Wanted, scopes: frozenset[str]) -> str:
    """What is signed to approve or deny: one line, ended by a line feed.

    It names everything that is agreed to, so that it means nothing under another code, for another
    client, to another daemon. What is no graphic ASCII character is percent-encoded, so that only
    the scopes hold spaces.

    :param verb: ``APPROVE`` or ``DENY``.
    :param scopes: those that are agreed to.
    """
    parts = (
        verb,
        code,
        *map(_graphic, (wanted.issuer, wanted.client_id, wanted.redirect_uri or "-")),
        _graphic(wanted.resource.url),
        " ".join(scope for scope in SCOPES if scope in scopes),
    )
    return " ".join(parts) + "\n"


def _graphic(text: str) -> str:
    return quote(text, safe=string.punctuation, errors="replace")
