"""``mcptwist login`` and ``mcptwist logout``: what a person agrees to at servers elsewhere."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from twisted.python import usage

from mcptwist import asking
from mcptwist.asking import FAILED, OK, Say
from mcptwist.auth.asking.signin import Want
from mcptwist.auth.asking.wallet import Grant
from mcptwist.auth.commands.reachoptions import ReachOptions, SignInOptions
from mcptwist.configuration.reach import Reach
from mcptwist.printout import printable
from mcptwist.tokens import endpoint
from mcptwist.wiring.reaching import make_logout, make_signin, make_wallet


class LoginQuestion(msgspec.Struct, frozen=True):
    """Where somebody logs in or out.

    :ivar place: the URL of an MCP endpoint; empty for all there are.
    :ivar scopes: that are wanted besides.
    """

    place: str
    reach: Reach
    scopes: frozenset[str] = frozenset()


async def log_in(question: LoginQuestion, reactor: Any, say: Say, aside: Say) -> int:
    """Have the person log in, whatever is known already."""
    reach = msgspec.structs.replace(question.reach, may_ask=True)
    signing = make_signin(question.place, reactor, reach)
    challenge = await signing.challenge()
    await signing.token(challenge, Want(question.scopes, by_person=True))
    for grant in make_wallet().of(signing.url):
        say(described(grant, time.time()))
    return OK


async def log_out(question: LoginQuestion, reactor: Any, say: Say, aside: Say) -> int:
    """Give back what was agreed to."""
    wallet = make_wallet()
    logout = make_logout(question.place, reactor, question.reach)
    grants = wallet.of(logout.url)
    if not grants:
        aside(f"nobody is logged in at {question.place}")
        return FAILED
    problems = [await logout.end(grant) for grant in grants]
    for problem in filter(None, problems):
        aside(f"forgotten here; but {problem}, so it is good there until its end")
    say(f"logged out at {question.place}")
    return FAILED if any(problems) else OK


async def tell_logins(question: LoginQuestion, reactor: Any, say: Say, aside: Say) -> int:
    """Say where somebody is logged in."""
    grants = make_wallet().contents().grants
    for grant in grants:
        say(described(grant, time.time()))
    if not grants:
        aside("you are logged in nowhere")
    return OK


def described(grant: Grant, now: float) -> str:
    """One line about a grant.

    :param now: seconds since 1970.
    """
    left = max(0, int(grant.ends - now))
    ends = "renewed by itself" if grant.refresh else f"for {left // 60} min"
    bound = ", bound to a key" if grant.proof else ""
    scopes = f" ({' '.join(grant.scopes)})" if grant.scopes else ""
    return printable(f"{grant.url}: logged in at {grant.issuer}{scopes}, {ends}{bound}")


class LoginOptions(SignInOptions):
    """Log in at a server, in a browser. Without a URL: say where you are logged in."""

    synopsis = "mcptwist login [options] [URL]"
    optParameters = [["scope", None, "", "What is wanted beside what the server asks for."]]

    def parseArgs(self, url: str = "") -> None:
        """Called with what follows the options."""
        self["url"] = endpoint(url) if url else ""

    def perform(self) -> int:
        """Have the person log in."""
        question = LoginQuestion(self["url"], self.reach, frozenset(self["scope"].split()))
        return asking.perform(log_in if self["url"] else tell_logins, question)


class LogoutOptions(ReachOptions):
    """Log out at a server: what it gave is given back, and forgotten."""

    synopsis = "mcptwist logout [options] URL"

    def parseArgs(self, url: str = "") -> None:
        """Called with what follows the options."""
        if not url:
            raise usage.UsageError("at which URL?")
        self["url"] = endpoint(url)

    def perform(self) -> int:
        """Log out."""
        return asking.perform(log_out, LoginQuestion(self["url"], self.reach))
