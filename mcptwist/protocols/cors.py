"""What browsers are told, so that a page of another origin may call, and read the answer.

A browser asks first, with a *preflight*, whether a page may send what it wants to send; and it
shows the page an answer only if the answer says that this page may see it. Both are said here, for
an origin that :class:`mcptwist.protocols.site.HostGuard` has found good; that guard is who keeps
all other pages out, also those that do not care to read the answer.

Fetch standard, *CORS protocol*; RFC 9110 section 12.5.5 for ``Vary``. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice

__all__ = ["STANDING", "CrossOrigin"]

Header = tuple[bytes, bytes]

#: What every answer says, whoever asked.
#:
#: Answers depend on Origin even where none was sent: an answer kept by a cache without that word
#: would be given to a page that asks later, without the headers that let it read the answer. The
#: others keep pages from using an answer as what it is not, a script or an image say, and those
#: that may not read it from loading it at all.
STANDING: tuple[Header, ...] = (
    (b"Vary", b"Origin"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)

#: What MCP clients of all revisions send, and what browsers do not let pages send unasked. A
#: wildcard would not do: it does not stand for Authorization.
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Accept",
    "DPoP",
    "Content-Digest",
    "Signature",
    "Signature-Input",
    "MCP-Protocol-Version",
    "Mcp-Session-Id",
    "Mcp-Method",
    "Mcp-Name",
    "Last-Event-ID",
)

#: What pages read in answers; without these words they would see little but Content-Type.
ANSWER_HEADERS = (
    "Mcp-Session-Id",
    "MCP-Protocol-Version",
    "WWW-Authenticate",
    "Accept-Signature",
    "DPoP-Nonce",
    "Retry-After",
    "X-Request-Id",
)

#: Headers that mirror a tool's parameters have any name that a tool chose (MCP 2026-07-28,
#: *Streamable HTTP, Custom Headers from Tool Parameters*), so they are allowed by what is asked.
_PARAMS = re.compile(rb"(?:\A|,)[ \t]*(mcp-param-[!#$%&'*+.^_`|~0-9a-z-]{1,64})(?=[ \t]*(?:,|\Z))")
#: So many of them; a tool that wants more gets no more from a page.
_MOST_PARAMS = 32

_VARY_OF_PREFLIGHTS = (b"Vary", b"Access-Control-Request-Method, Access-Control-Request-Headers")


class CrossOrigin:
    """The policy for pages of other origins.

    Credentials that browsers add by themselves (cookies, client certificates) are never allowed.

    :param methods: that pages may use. Browsers let them use GET, HEAD and POST in any case.
    :param headers: that pages may send, beside those of MCP.
    :param exposed: that pages may read in answers, beside those of MCP.
    :param max_age: seconds that browsers may remember the answer to a preflight.
    """

    def __init__(
        self,
        methods: Iterable[str] = ("GET", "POST", "DELETE"),
        headers: Iterable[str] = (),
        exposed: Iterable[str] = (),
        max_age: float = 600.0,
    ) -> None:
        self._headers = _listed((*REQUEST_HEADERS, *headers))
        self._exposed = (b"Access-Control-Expose-Headers", _listed((*ANSWER_HEADERS, *exposed)))
        self._methods = (b"Access-Control-Allow-Methods", _listed(methods))
        self._max_age = (b"Access-Control-Max-Age", b"%d" % max_age)

    def readable(self, origin: bytes) -> list[Header]:
        """What lets a page of this origin read an answer, whatever the status of the answer.

        :param origin: as the browser sent it, and found good.
        """
        return [(b"Access-Control-Allow-Origin", origin), self._exposed]

    def preflight(self, origin: bytes, wanted: Sequence[bytes]) -> list[Header]:
        """The answer to a preflight: what a page of this origin may send.

        It says what is allowed, whatever was asked; the browser compares, and tells the page's
        author what is missing.

        :param wanted: the values of ``Access-Control-Request-Headers``.
        """
        allowed = b", ".join((self._headers, *_params(b",".join(wanted))))
        return [
            (b"Access-Control-Allow-Origin", origin),
            self._methods,
            (b"Access-Control-Allow-Headers", allowed),
            self._max_age,
            _VARY_OF_PREFLIGHTS,
        ]


def _listed(names: Iterable[str]) -> bytes:
    """A header's value; each name once, however it is spelled."""
    by_folded: dict[str, str] = {}
    for name in names:
        by_folded.setdefault(name.lower(), name)
    return ", ".join(by_folded.values()).encode("ascii")


def _params(wanted: bytes) -> Iterable[bytes]:
    found = (match[1] for match in _PARAMS.finditer(wanted.lower()))
    return islice(dict.fromkeys(islice(found, 2 * _MOST_PARAMS)), _MOST_PARAMS)
