"""How servers elsewhere are reached: whom we believe to be the server, and as whom we come."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from twisted.web.iweb import IAgent

from mcptwist.auth.asking.browser import Browser, has_windows
from mcptwist.auth.asking.clientcredentials import KeyHolder
from mcptwist.auth.asking.identity import Ask, Identity, ask_passphrase, named
from mcptwist.auth.asking.inquiry import Inquiry, Ways
from mcptwist.auth.asking.introduction import introduce
from mcptwist.auth.asking.keylearning import KeyLearner
from mcptwist.auth.asking.login import Login, Person
from mcptwist.auth.asking.logout import Logout
from mcptwist.auth.asking.pinning import Pinning
from mcptwist.auth.asking.possession import Possession
from mcptwist.auth.asking.proving import Prover
from mcptwist.auth.asking.redirect import Redirect
from mcptwist.auth.asking.registration import Told
from mcptwist.auth.asking.requestsigning import RequestSigner
from mcptwist.auth.asking.signin import Credentials, SignIn
from mcptwist.auth.asking.sshagent import VARIABLE, Agent
from mcptwist.auth.asking.tokensource import TokenSource
from mcptwist.auth.asking.wallet import FILE as GRANTS
from mcptwist.auth.asking.wallet import Wallet
from mcptwist.auth.keyfiles import FileProblem, read_strictly
from mcptwist.configuration.gateconfig import config_directory
from mcptwist.configuration.reach import Reach
from mcptwist.errors import HostNotTrusted, SignInFailed
from mcptwist.interfaces import IAdmission, IConnector, IProver
from mcptwist.protocols.remote import AUTO, make_agent, remote_connector
from mcptwist.protocols.trust import Trust


def make_pinning(reach: Reach, environ: Mapping[str, str] = os.environ) -> Pinning:
    """The keys of servers that are believed."""
    path = reach.known_hosts or os.path.join(config_directory(environ), "known_hosts")
    return Pinning(path, reach.host_keys, reach.accept_new)


def introduce_to(url: str, reach: Reach, environ: Mapping[str, str] = os.environ) -> None:
    """Have the person at the terminal say whether the server at *url* is the one, if need be.

    :raises McpTwistError: it is not, or does not answer.
    """
    try:
        introduce(url, make_pinning(reach, environ), reach.ca)
    except FileProblem as problem:
        raise HostNotTrusted(str(problem)) from None


def make_trust(reach: Reach, environ: Mapping[str, str] = os.environ) -> Trust:
    """Whom we believe to be a server."""
    return Trust(reach.ca, make_pinning(reach, environ))


def make_identity(
    reach: Reach,
    reactor: Any,
    environ: Mapping[str, str] = os.environ,
    ask: Ask = ask_passphrase,
) -> Identity:
    """The key that we come with."""
    socket = environ.get(VARIABLE)
    agent = Agent(socket, reactor) if socket else None
    return Identity(named(reach.key or "", config_directory(environ)), ask, agent)


def make_signin(
    url: str,
    reactor: Any,
    reach: Reach,
    environ: Mapping[str, str] = os.environ,
    ask: Ask = ask_passphrase,
    agent: IAgent | None = None,
) -> SignIn:
    """What asks for tokens for the MCP endpoint at *url*.

    :param agent: asks the server itself; one of its own otherwise.
    :raises SignInFailed: a file of a client's secret cannot be read.
    """
    ways = make_ways(reactor, reach, environ, agent)
    place = _as_http(url)
    inquiry, possession = Inquiry(place, ways), Possession(ways.wall, ways.make_bytes)
    keys = None
    if reach.key is not None:
        keys = KeyHolder(make_identity(reach, reactor, environ, ask).load, reach.principal, ways)
    told = Told(reach.client, _secret(reach.client_secret), reach.issuer)
    person = make_person(reactor, reach, environ) if reach.may_ask else None
    login = Login(place, inquiry, possession, make_wallet(environ), told, ways, person)
    return SignIn(place, inquiry, possession, Credentials(keys, bool(reach.key), told, login))


def make_ways(
    reactor: Any,
    reach: Reach,
    environ: Mapping[str, str] = os.environ,
    agent: IAgent | None = None,
) -> Ways:
    """How servers, and who gives tokens for them, are asked."""
    # What was said of the server's key is not said of whoever it names to give tokens for it.
    others = make_trust(msgspec.structs.replace(reach, host_keys=(), accept_new=False), environ)
    return Ways(
        agent or make_agent(reactor, make_trust(reach, environ)),
        make_agent(reactor, others),
        reactor,
        time.time,
        secrets.token_bytes,
    )


def make_logout(
    url: str, reactor: Any, reach: Reach, environ: Mapping[str, str] = os.environ
) -> Logout:
    """What gives back what was agreed to at *url*."""
    inquiry = Inquiry(_as_http(url), make_ways(reactor, reach, environ))
    return Logout(inquiry, make_wallet(environ))


def make_wallet(environ: Mapping[str, str] = os.environ) -> Wallet:
    """What people agreed to."""
    return Wallet(os.path.join(config_directory(environ), GRANTS))


def make_person(reactor: Any, reach: Reach, environ: Mapping[str, str] = os.environ) -> Person:
    """The person who started us."""
    browser = Browser(reactor, tell, has_windows(environ))

    def listen(port: int) -> Redirect:
        redirect = Redirect(reactor)
        redirect.listen(reactor, port)
        return redirect

    return Person(listen, browser.show, tell, reach.redirect_port)


def tell(text: str) -> None:
    """Say something to the person, beside what is printed."""
    print(f"mcptwist: {text}", file=sys.stderr, flush=True)


def _secret(path: str | None) -> str:
    if path is None:
        return ""
    try:
        return read_strictly(path, secret=True).strip()
    except FileProblem as problem:
        raise SignInFailed(str(problem)) from None


def _as_http(url: str) -> str:
    return f"http{url[2:]}" if url.lower().startswith(("ws:", "wss:")) else url


def way_to(
    url: str,
    reactor: Any,
    headers: Sequence[tuple[str, str]] = (),
    reach: Reach | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    wire: str = AUTO,
    ask: Ask = ask_passphrase,
    distrusted: Callable[[HostNotTrusted], object] = lambda problem: None,
    **more: Any,
) -> IConnector:
    """The way to the server at *url*; see :func:`mcptwist.protocols.remote.remote_connector`.

    :param ask: for the passphrase of a key.
    :param distrusted: told when the server shows a key that is not to be believed.
    """
    reach = reach or Reach()
    pinning = make_pinning(reach, environ)
    pinning.distrusted = distrusted
    trust = Trust(reach.ca, pinning)
    agent = make_agent(reactor, trust, more.get("http2"), more.get("counters"))
    learner = KeyLearner(pinning.path, agent, reactor, time.time)
    pinning.recognised = learner.recognised
    admission: IAdmission | None = None
    prover: IProver | None = None
    has_credentials = any(name.lower() == "authorization" for name, _ in headers)
    if not has_credentials and not url.lower().startswith("unix:"):
        signing = make_signin(url, reactor, reach, environ, ask, agent)
        tokens = TokenSource(signing, reactor, reach.scopes)
        admission = tokens
        if reach.key is not None:
            load = make_identity(reach, reactor, environ, ask).load
            admission = RequestSigner(
                url, load, tokens, time.time, secrets.token_bytes, reach.principal, reach.sign
            )
            prover = None if reach.sign else Prover(load, secrets.token_bytes)
    more |= {"trust": trust, "agent": agent, "admission": admission, "prover": prover}
    return remote_connector(url, wire, reactor, headers, **more)
