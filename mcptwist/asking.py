"""``mcptwist call`` and ``mcptwist list``: asking servers from the shell.

By default the daemon that runs on this machine is asked. With a configuration
file, the server is started for the one call, in this process; and where a URL
stands in place of a server's name, that is asked.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mcptwist import config as configuration
from mcptwist import printout
from mcptwist.client import Client, Progress, Refused, connect
from mcptwist.configuration.reach import Reach
from mcptwist.errors import HostNotTrusted, McpTwistError, ServerMisbehaved, ServerUnreachable
from mcptwist.protocols.bodies import WholeBody
from mcptwist.protocols.remote import make_agent
from mcptwist.protocols.upstream import Upstream
from mcptwist.supervisor import SupervisorSettings
from mcptwist.wiring.premises import Premises
from mcptwist.wiring.reaching import introduce_to, make_trust
from mcptwist.wiring.servers import make_connector

OK, FAILED, NOT_TRUSTED, INTERRUPTED = 0, 1, 3, 130
DAEMON = "http://127.0.0.1:8808"
VARIABLE = "MCPTWIST_URL"
_REPORT = 1 << 20
_LISTS = (
    ("tools", "tools", Client.list_tools),
    ("resources", "resources", Client.list_resources),
    ("resource templates", "resources", Client.list_resource_templates),
    ("prompts", "prompts", Client.list_prompts),
)

Say = Callable[[str], None]


class Question(msgspec.Struct, frozen=True):
    """What is asked, and of whom.

    :ivar server: a name, a URL, or empty for all.
    :ivar url: of the daemon, without a path.
    :ivar config: a file with the server, instead of the daemon.
    :ivar headers: sent with every request to the daemon or the URL.
    :ivar reach: what both ends prove to each other.
    :ivar as_json: whether the answer is for a program.
    """

    server: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = {}
    url: str = DAEMON
    config: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    reach: Reach = Reach()
    as_json: bool = False

    @property
    def place(self) -> str:
        """Where it goes over the network; empty if it does not."""
        if self.config is not None:
            return ""
        return self.server if is_address(self.server) else self.url


def is_address(server: str) -> bool:
    """Whether *server* is no name, but says where it is."""
    return "://" in server or server.startswith("unix:")


class CannotAsk(McpTwistError):
    """The question cannot be put to anybody."""


class TellsNobody(CannotAsk):
    """The daemon says what servers there are to those only who have come in."""


def daemon_url(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Where the daemon is: as *given*, as the environment says, or where it is by default."""
    url = given or environ.get(VARIABLE) or DAEMON
    return url.rstrip("/").removesuffix("/mcp")


# --- the two commands -----------------------------------------------------------------


async def call(question: Question, reactor: Any, say: Say, aside: Say) -> int:
    """Call a tool and say what it answers.

    :param say: takes the answer.
    :param aside: takes what is not part of it.
    :return: the exit status.
    """

    def heard(progress: Progress) -> None:
        aside(printout.progress(progress))

    async with await _connected(question, reactor) as client:
        result = await client.call_tool(question.tool, question.arguments, progress=heard)
    if question.as_json:
        say(json.dumps(result.whole, ensure_ascii=False))
    else:
        say(printout.answer(result))
        if result.is_error:
            aside(f"{question.tool} says that it failed")
    return FAILED if result.is_error else OK


async def list_servers(question: Question, reactor: Any, say: Say, aside: Say) -> int:
    """Say what servers and groups there are, or what one server has."""
    if question.server:
        return await _list_one(question, reactor, say)
    try:
        servers, groups = await _found(question, reactor)
    except TellsNobody:
        # Whoever has a key sees at least what there is for that key.
        everything = msgspec.structs.replace(question, server=f"{question.url}/mcp")
        return await _list_one(everything, reactor, say)
    if question.as_json:
        say(json.dumps({"servers": servers, "groups": groups}, ensure_ascii=False))
    else:
        say(printout.servers(servers, groups))
    return OK


async def _list_one(question: Question, reactor: Any, say: Say) -> int:
    async with await _connected(question, reactor) as client:
        offered = client.welcome.get("capabilities") or {}
        lists = {title: await ask(client) for title, key, ask in _LISTS if key in offered}
    if question.as_json:
        about = {"server": question.server, "revision": client.revision}
        missing = {"unavailable": client.missing} if client.missing else {}
        say(json.dumps({**about, **lists, **missing}, ensure_ascii=False))
    else:
        say(printout.server(client, lists))
    return OK


# --- whom to ask ----------------------------------------------------------------------


async def _connected(question: Question, reactor: Any) -> Client:
    if question.config is not None:
        return await _started(question, reactor)
    known = {"reactor": reactor, "headers": question.headers, "reach": question.reach}
    if is_address(question.server):
        return await connect(question.server, **known)
    url = f"{question.url}/servers/{question.server}/mcp"
    try:
        return await connect(url, name=question.server, **known)
    except HostNotTrusted:
        raise
    except ServerUnreachable as problem:
        raise await _better(problem, question, reactor) from None


async def _started(question: Question, reactor: Any) -> Client:
    config = _config(question)
    server = config.server(question.server)
    if server is None:
        raise CannotAsk(_no_such_server(question.server, config))
    connector = make_connector(server, Premises(config, reactor, os.environ))
    settings = SupervisorSettings(server.start_timeout)
    return await connect(connector, reactor=reactor, name=server.name, settings=settings)


def _config(question: Question) -> configuration.Config:
    assert question.config is not None
    loaded = configuration.read(question.config, os.environ)
    if loaded.config is None:
        raise CannotAsk(configuration.report(loaded).rstrip())
    return loaded.config


def _no_such_server(name: str, config: configuration.Config) -> str:
    for broken in config.broken:
        if broken.name == name:
            return f"{name} is not configured rightly: {broken.mistakes[0]}"
    if name in config.disabled:
        return f"{name} is disabled in that file"
    known = ", ".join(server.name for server in config.servers) or "none"
    return f"there is no server {name}; there is: {known}"


async def _found(question: Question, reactor: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Name → state and reason, of every server; name → its servers, of every group."""
    if question.config is not None:
        config = _config(question)
        found = {s.name: {"state": s.KIND, "reason": s.target} for s in config.servers}
        found |= {b.name: {"state": "broken", "reason": str(b.mistakes[0])} for b in config.broken}
        found |= {name: {"state": "disabled", "reason": ""} for name in config.disabled}
        return found, {group.name: list(group.servers) for group in config.groups}
    report = await _ready(question, reactor)
    servers = report.get("servers")
    if not isinstance(servers, dict):
        if "status" in report:
            raise TellsNobody(f"the daemon at {question.url} tells nobody what it serves")
        raise ServerMisbehaved(f"what answers at {question.url} is no mcptwist daemon")
    groups = report.get("groups")
    return servers, groups if isinstance(groups, dict) else {}


async def _ready(question: Question, reactor: Any) -> dict[str, Any]:
    """What the daemon says of itself.

    :raises CannotAsk: there is none.
    """
    agent = make_agent(reactor, make_trust(question.reach))
    upstream = Upstream(agent, f"{question.url}/ready", question.headers)
    try:
        response = await upstream.request(b"GET", [])
    except HostNotTrusted:
        raise
    except ServerUnreachable:
        raise CannotAsk(
            f"no daemon answers at {question.url}; start one with mcptwist run or twistd mcpd, "
            f"say with --url or {VARIABLE} where it is, or name a file with --config"
        ) from None
    body = WholeBody(_REPORT)
    response.deliverBody(body)
    try:
        found = msgspec.json.decode(await body.done)
    except msgspec.DecodeError:
        found = None
    return found if isinstance(found, dict) else {}


async def _better(problem: ServerUnreachable, question: Question, reactor: Any) -> McpTwistError:
    """A better reason, where the daemon is there and has no such server."""
    report = await _ready(question, reactor)
    servers = report.get("servers")
    if not isinstance(servers, dict) or question.server in servers:
        return problem
    known = ", ".join(sorted(servers)) or "none"
    return CannotAsk(f"the daemon has no server {question.server}; it has: {known}")


# --- in the foreground ----------------------------------------------------------------


def perform(ask: Callable[..., Coroutine[Any, Any, int]], question: Any) -> int:
    """Run the reactor for as long as one question takes.

    :param ask: :func:`call`, :func:`list_servers`, or what asks likewise.
    :param question: with its ``place`` and ``reach``.
    :return: the exit status.
    """
    from twisted.internet import reactor

    try:
        introduce_to(question.place, question.reach)
    except McpTwistError as problem:
        return _told_failed(problem)
    run = _Run(reactor)
    reactor.callWhenRunning(run.start, ask, question)
    reactor.run()
    return run.status


class _Run:
    """One question, from the reactor's start to its stop."""

    def __init__(self, reactor: Any) -> None:
        self.status = INTERRUPTED
        self._reactor = reactor
        self._asking: Deferred[int] | None = None
        self._over: Deferred[None] = Deferred()

    def start(self, ask: Callable[..., Coroutine[Any, Any, int]], question: Any) -> None:
        """Ask, and stop the reactor when there is an answer."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self._asking = Deferred.fromCoroutine(ask(question, self._reactor, say, aside))
        self._asking.addErrback(self._failed).addCallback(self._done)

    def _failed(self, failure: Failure) -> int:
        if failure.check(CancelledError):
            return INTERRUPTED
        if failure.check(BrokenPipeError):
            return FAILED  # whoever reads what we print has read enough
        if not failure.check(McpTwistError, Refused):
            failure.printTraceback(sys.stderr)
            return FAILED
        return _told_failed(failure.value)

    def _done(self, status: int) -> None:
        self.status = status
        self._over.callback(None)
        if self._reactor.running:
            self._reactor.callLater(0, self._stop_reactor)

    def _stop_reactor(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    def _stop(self) -> Deferred[None]:
        """Ctrl-C: leave nothing behind."""
        if self._asking is not None:
            self._asking.cancel()
        return self._over


def _told_failed(problem: BaseException | None) -> int:
    """Tell the person; the exit status."""
    aside(_told(problem))
    return NOT_TRUSTED if isinstance(problem, HostNotTrusted) else FAILED


def _told(problem: BaseException | None) -> str:
    """An error for a person, with what a server wrote last."""
    data: Any = getattr(problem, "data", None)
    if isinstance(problem, Refused):
        data = problem.body.data
        text = problem.body.message
    else:
        text = str(problem)
    stderr = data.get("stderr") if isinstance(data, dict) else None
    lines = [text, *(f"  | {line}" for line in stderr)] if isinstance(stderr, list) else [text]
    return printout.printable("\n".join(lines))


def say(text: str) -> None:
    """Print an answer."""
    print(text, flush=True)


def aside(text: str) -> None:
    """Print what is no part of the answer."""
    print(f"mcptwist: {text}", file=sys.stderr, flush=True)
