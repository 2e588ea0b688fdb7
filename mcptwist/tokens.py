"""``mcptwist token``: a token for clients that can only send a header."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import msgspec
from twisted.python import usage

from mcptwist import asking
from mcptwist.asking import OK, Say
from mcptwist.auth.asking.signin import Want
from mcptwist.auth.asking.tokenendpoint import Granted
from mcptwist.auth.authorizedkeys import LineProblem, duration
from mcptwist.auth.commands.reachoptions import SignInOptions
from mcptwist.configuration.reach import Reach
from mcptwist.wiring.reaching import make_signin

FORMATS = ("header", "json", "env", "text")


class TokenQuestion(msgspec.Struct, frozen=True):
    """What a token is wanted for.

    :ivar place: the URL of an MCP endpoint.
    :ivar scopes: that it should have.
    :ivar seconds: that it should be good for; as long as the server likes otherwise.
    """

    place: str
    reach: Reach
    scopes: tuple[str, ...] = ()
    seconds: int | None = None
    form: str = "header"


async def ask_for_token(question: TokenQuestion, reactor: Any, say: Say, aside: Say) -> int:
    """Get a token and say it.

    It is not bound to a key of ours: whoever gets it is to use it. Where the person has logged in
    already, it comes of that login, and nobody is asked.

    :param say: takes the token.
    :param aside: takes what is not part of it.
    :return: the exit status.
    :raises SignInFailed: there is none.
    """
    signing = make_signin(question.place, reactor, question.reach)
    scopes = frozenset(question.scopes)
    want = Want(scopes, only=bool(scopes), bound=False, seconds=question.seconds)
    granted = await signing.token(want=want)
    if question.seconds is not None and granted.lifetime < question.seconds:
        aside(
            f"it is good for {granted.lifetime} s, and not longer: a daemon gives this key more "
            "where max-token-ttl in its line of authorized_keys says so"
        )
    if granted.login:
        aside(
            f"this is by your login at {granted.login}; mcptwist logout {question.place} ends both"
        )
    say(printed(granted, question.form))
    return OK


def printed(granted: Granted, form: str) -> str:
    """A token as *form* has it."""
    if form == "header":
        return json.dumps({"Authorization": f"Bearer {granted.token}"})
    if form == "json":
        return json.dumps(granted.said)
    return f"MCPTWIST_TOKEN={granted.token}" if form == "env" else granted.token


class TokenOptions(SignInOptions):
    """Print a token, for clients that can only send a header."""

    synopsis = "mcptwist token [options] URL"
    optParameters = [
        ["scope", None, "", "What it should be good for."],
        ["ttl", None, None, "How long it should be good for, such as 10m or 8h."],
        ["format", None, "header", "header (a JSON object), json, env, or text."],
    ]

    def parseArgs(self, url: str = "") -> None:
        """Called with what follows the options."""
        if not url:
            raise usage.UsageError("for which URL?")
        self["url"] = url

    def postOptions(self) -> None:
        """Called when all options are there."""
        if self["format"] not in FORMATS:
            raise usage.UsageError(f"--format is one of {', '.join(FORMATS)}")
        try:
            self["seconds"] = duration(self["ttl"]) if self["ttl"] else None
        except LineProblem as problem:
            raise usage.UsageError(f"--ttl {problem}") from None
        self["url"] = endpoint(self["url"])

    def perform(self) -> int:
        """Ask for it, and print it."""
        question = TokenQuestion(
            self["url"],
            self.reach,
            tuple(self["scope"].split()),
            self["seconds"],
            self["format"],
        )
        return asking.perform(ask_for_token, question)


def endpoint(url: str) -> str:
    """The URL of an MCP endpoint; without a path, that of all servers.

    :raises UsageError: it is none.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https", "ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or "@" in parts.netloc:
        raise usage.UsageError("that is no URL of an MCP endpoint, such as https://HOST/mcp")
    return parts._replace(path=parts.path or "/mcp", netloc=parts.netloc.lower()).geturl()
