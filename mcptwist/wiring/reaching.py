"""How servers elsewhere are reached: whom we believe to be the server, and as whom we come."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from twisted.web.iweb import IAgent

from mcptwist.auth.asking.identity import Ask, Identity, ask_passphrase, named
from mcptwist.auth.asking.introduction import introduce
from mcptwist.auth.asking.keylearning import KeyLearner
from mcptwist.auth.asking.pinning import Pinning
from mcptwist.auth.asking.proving import Prover
from mcptwist.auth.asking.requestsigning import RequestSigner
from mcptwist.auth.asking.signin import SignIn, Ways
from mcptwist.auth.asking.sshagent import VARIABLE, Agent
from mcptwist.auth.asking.tokensource import TokenSource
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.configuration.gateconfig import config_directory
from mcptwist.configuration.reach import Reach
from mcptwist.errors import HostNotTrusted
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
    """
    # What was said of the server's key is not said of whoever it names to give tokens for it.
    others = make_trust(msgspec.structs.replace(reach, host_keys=(), accept_new=False), environ)
    ways = Ways(
        agent or make_agent(reactor, make_trust(reach, environ)),
        make_agent(reactor, others),
        reactor,
        time.time,
        secrets.token_bytes,
    )
    return SignIn(
        _as_http(url), make_identity(reach, reactor, environ, ask).load, ways, reach.principal
    )


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
    if reach.key is not None and not has_credentials and not url.lower().startswith("unix:"):
        signing = make_signin(url, reactor, reach, environ, ask, agent)
        identity = make_identity(reach, reactor, environ, ask)
        admission = RequestSigner(
            url,
            identity.load,
            TokenSource(signing, reactor, reach.scopes),
            time.time,
            secrets.token_bytes,
            reach.principal,
            reach.sign,
        )
        prover = None if reach.sign else Prover(identity.load, secrets.token_bytes)
    more |= {"trust": trust, "agent": agent, "admission": admission, "prover": prover}
    return remote_connector(url, wire, reactor, headers, **more)
