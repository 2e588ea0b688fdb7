"""``mcptwist doctor``: is everything as it should be, and if not, what is to be done?

Files, keys, certificates and the clock are looked at; each endpoint is tried; each server is
started for a moment and asked for its tools; and a daemon that runs is asked as a client would.
Nothing is changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThreadPool
from twisted.python import usage

from mcptwist import asking
from mcptwist.asking import Say
from mcptwist.auth.asking.discovery import read_challenge, read_resource
from mcptwist.auth.asking.introduction import scan
from mcptwist.auth.keystore import key_of_certificate
from mcptwist.client import Refused, connect
from mcptwist.command import Command
from mcptwist.config import Config, Loaded, ServerConfig
from mcptwist.configuration.commandline import load
from mcptwist.configuration.listening import LINES, encrypted, is_mutual
from mcptwist.configuration.reach import Reach
from mcptwist.errors import HostNotTrusted, McpTwistError
from mcptwist.findings import Finding, as_json, exit_code, fail, ok, shown, summary, warn
from mcptwist.protocols.bodies import WholeBody
from mcptwist.protocols.hostcertificate import state_directory
from mcptwist.protocols.remote import make_agent
from mcptwist.protocols.upstream import Upstream
from mcptwist.supervisor import SupervisorSettings
from mcptwist.wiring.checkup import (
    look_at_certificates,
    look_at_configuration,
    look_at_keys,
    look_at_machine,
    look_at_own_files,
    look_at_state,
)
from mcptwist.wiring.premises import Premises
from mcptwist.wiring.reaching import make_trust
from mcptwist.wiring.servers import make_connector

_AT_ONCE = 4
_HANDSHAKE = 10.0
_MOST = 64 * 1024
_PROTECTED = "/.well-known/oauth-protected-resource/mcp"
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104

Told = Callable[[Finding], None]


class DoctorOptions(Command):
    """Look everything over: what is wrong, and what to do about it. Nothing is changed.

    Servers are started for a moment, a few at a time, unless --no-start.
    """

    synopsis = "mcptwist doctor [options] [FILE]"
    is_free = True
    optParameters = [["config", "c", None, "The daemon's configuration file."]]
    optFlags = [
        ["no-start", "n", "Do not start any server."],
        ["json", "j", "Print JSON, for scripts."],
        ["quiet", "q", "Say nothing of what is well."],
    ]

    def parseArgs(self, path: str | None = None) -> None:
        """Called with what follows the options."""
        if path is not None and self["config"]:
            raise usage.UsageError("name the file once")
        self["config"] = path or self["config"]

    def perform(self) -> int:
        """Look, and say what was found; 1 where something is to be mended."""
        return asking.perform(examine, Examination(self))


class Examination:
    """What is to be examined.

    :ivar place: nothing that has to be introduced.
    """

    place = ""
    reach = Reach()

    def __init__(self, options: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> None:
        self.loaded: Loaded = load(options["config"], [])
        self.starts = not options["no-start"]
        self.is_json = bool(options["json"])
        self.is_quiet = bool(options["quiet"])
        self.environ = environ


async def examine(what: Examination, reactor: Any, say: Say, aside: Say) -> int:
    """Look everything over, and say it.

    :return: the exit status.
    """
    found: list[Finding] = []

    def told(finding: Finding) -> None:
        found.append(finding)
        if not what.is_json and not (what.is_quiet and finding.level == "ok"):
            say(shown(finding))

    for finding in _looked_at(what):
        told(finding)
    config = what.loaded.config
    if config is not None:
        tried = [
            await _try_endpoint(entry, what, reactor, told) for entry in config.endpoints.values()
        ]
        if not all(tried):
            for url in _known_urls(config):
                told(await _seen_from_outside(url, what, reactor))
        if what.starts:
            await _start_servers(config, what, reactor, told)
    say(as_json(found) if what.is_json else summary(found))
    return exit_code(found)


def _looked_at(what: Examination) -> Iterator[Finding]:
    """What can be seen without asking anybody."""
    now = time.time()
    yield from look_at_configuration(what.loaded)
    yield from look_at_machine(now)
    yield from look_at_own_files(what.environ)
    yield from look_at_state(what.environ)
    if what.loaded.config is not None:
        yield from look_at_keys(what.loaded.config, what.environ, now)
        yield from look_at_certificates(what.loaded.config, what.environ, now)


# --- endpoints, and who answers there -------------------------------------------------------


async def _try_endpoint(entry: str, what: Examination, reactor: Any, told: Told) -> bool:
    """Whether the daemon could listen there; if one does already, how it is.

    :return: whether it is known that nobody listens there.
    """
    is_encrypted, description = encrypted(entry.removeprefix(LINES))
    kind, *arguments = description.split(":")
    if kind == "unix":
        told(_unix(arguments[0]))
        return False
    if kind not in ("tcp", "tcp6"):
        told(ok("endpoint", f"{entry} is the system's to give"))
        return False
    try:
        port = await serverFromString(reactor, description).listen(Factory())
        await port.stopListening()
        told(ok("endpoint", f"{entry} is free"))
        return True
    except CannotListenError as problem:
        url = _url_of(is_encrypted, description)
        await _look_at_daemon(url, entry, str(problem.socketError), what, reactor, told)
        return False


def _known_urls(config: Config) -> list[str]:
    """The public URLs at which somebody without a certificate can ask."""
    mutual = {
        encrypted(entry)[1].split(":")[1]
        for entry in config.endpoints.values()
        if is_mutual(entry) and encrypted(entry)[1].startswith("tcp")
    }
    urls = config.auth.public_urls if config.auth else ()
    return [url for url in urls if str(urlsplit(url).port) not in mutual]


def _unix(path: str) -> Finding:
    directory = os.path.dirname(path) or "."
    if os.access(directory, os.W_OK | os.X_OK):
        return ok("endpoint", f"{path} can be made")
    return fail(
        "endpoint", f"{directory} cannot be written to", "make it, and let the daemon write"
    )


def _url_of(is_encrypted: bool, description: str) -> str:
    _, port, *more = description.replace("\\:", "\0").split(":")
    given = dict(each.partition("=")[::2] for each in more)
    interface = given.get("interface", "").replace("\0", ":")
    host = _LOOPBACK.get(interface, f"[{interface}]" if ":" in interface else interface)
    return f"{'https' if is_encrypted else 'http'}://{host}:{port}"


async def _look_at_daemon(
    url: str, entry: str, why: str, what: Examination, reactor: Any, told: Told
) -> None:
    """A port that is taken: by a daemon of ours, or by somebody else?"""
    config = what.loaded.config
    assert config is not None
    own = _own_key(config, what.environ)
    if is_mutual(entry):
        told(await _mutual(url, entry, own, reactor))
        return
    reach = Reach(host_keys=own)
    try:
        status, _, _ = await _get(f"{url}/health", reach, reactor)
    except McpTwistError as problem:
        advice = "stop what listens there, or choose another port (ss -ltnp shows who it is)"
        told(fail("endpoint", f"{entry}: {why}; {problem.message}", advice))
        return
    if status != 200:
        advice = "stop it, or choose another port"
        told(fail("endpoint", f"{entry} is taken by something that is no mcptwist", advice))
        return
    told(ok("endpoint", f"{entry}: a daemon answers"))
    await _look_as_client(url, config, reach, reactor, told)


async def _mutual(url: str, entry: str, own: tuple[str, ...], reactor: Any) -> Finding:
    """A port where nobody without a certificate is answered: its key tells who is there."""
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 0
    advice = "stop what listens there, or choose another port (ss -ltnp shows who it is)"
    try:
        key = await deferToThreadPool(
            reactor, reactor.getThreadPool(), scan, host, port, _HANDSHAKE
        )
    except McpTwistError as problem:
        return fail("endpoint", f"{entry} is taken; {problem.message}", advice)
    if key.fingerprint in own:
        return ok("endpoint", f"{entry}: a daemon answers who has a certificate")
    return fail("endpoint", f"{entry} is taken by somebody whose key is {key.fingerprint}", advice)


def _own_key(config: Config, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The fingerprint of the key that our own daemon shows, where that is known."""
    directory = config.tls.directory or str(state_directory(environ))
    path = config.tls.certificate or os.path.join(directory, "host_cert.pem")
    key = key_of_certificate(path)
    return (key.fingerprint,) if key is not None else ()


async def _look_as_client(url: str, config: Config, reach: Reach, reactor: Any, told: Told) -> None:
    """What a client without a key sees."""
    status, headers, _ = await _get(f"{url}/mcp", reach, reactor)
    if config.auth is None:
        if status == 401:
            advice = "restart the daemon, or reload its configuration"
            told(warn("client", f"{url} wants keys, and the file has no [auth]", advice))
        return
    challenge = read_challenge(headers.getRawHeaders(b"www-authenticate", []))
    if status != 401 or challenge is None:
        advice = "restart the daemon with this configuration"
        told(fail("client", f"{url}/mcp answers {status} to who has no key", advice))
    else:
        told(ok("client", f"{url}/mcp asks who has no key for one"))


async def _seen_from_outside(url: str, what: Examination, reactor: Any) -> Finding:
    """What a client finds at a public URL."""
    config = what.loaded.config
    assert config is not None
    own, text = _own_key(config, what.environ), f"{url} says where tokens are to be had"
    try:
        try:
            await _look_at_metadata(url, Reach(), reactor)
        except HostNotTrusted:
            # That is our own certificate, or there is somebody else.
            await _look_at_metadata(url, Reach(host_keys=own), reactor)
            text += f"; clients know it by its key {own[0]}, as nobody vouches for it"
        return ok("client", text)
    except McpTwistError as problem:
        advice = "if the daemon is up, see its name, its certificate, and what is before it"
        return warn("client", f"{url}: {problem.message}", advice)


async def _look_at_metadata(url: str, reach: Reach, reactor: Any) -> None:
    """:raises McpTwistError: there are none, or they are of something else."""
    status, _, body = await _get(f"{url}{_PROTECTED}", reach, reactor)
    if status != 200:
        raise McpTwistError(f"its metadata are answered with {status}")
    read_resource(body, f"{url}/mcp")


async def _get(url: str, reach: Reach, reactor: Any) -> tuple[int, Any, bytes]:
    upstream = Upstream(make_agent(reactor, make_trust(reach)), url, description="it")
    asked = Deferred.fromCoroutine(upstream.request(b"GET", [])).addTimeout(10.0, reactor)
    try:
        response = await asked
    except McpTwistError:
        raise
    except Exception as problem:
        raise McpTwistError(f"it does not answer: {problem}") from None
    body = WholeBody(_MOST)
    response.deliverBody(body)
    return response.code, response.headers, await body.done


# --- servers --------------------------------------------------------------------------------


async def _start_servers(config: Config, what: Examination, reactor: Any, told: Told) -> None:
    """Whether each can start, a few at a time."""
    several = DeferredSemaphore(_AT_ONCE)

    def start(server: ServerConfig) -> Deferred[None]:
        starting: Awaitable[None] = _start(server, config, what, reactor, told)
        return Deferred.fromCoroutine(starting)  # type: ignore[arg-type]

    await gatherResults([several.run(start, server) for server in config.servers])


async def _start(
    server: ServerConfig, config: Config, what: Examination, reactor: Any, told: Told
) -> None:
    about, began = f"server {server.name}", time.monotonic()
    connector = make_connector(server, Premises(config, reactor, what.environ))
    settings = SupervisorSettings(server.start_timeout)
    try:
        async with await connect(
            connector, reactor=reactor, name=server.name, settings=settings
        ) as client:
            offered = client.welcome.get("capabilities") or {}
            tools = await client.list_tools() if "tools" in offered else []
    except (McpTwistError, Refused) as problem:
        told(fail(about, _told(problem), _advice(server)))
        return
    took = time.monotonic() - began
    text = f"{client.era}, revision {client.revision}; tools: {len(tools)}; {took:.1f} s"
    told(ok(about, text))


def _told(problem: McpTwistError | Refused) -> str:
    """What went wrong, with the last words of a process."""
    if isinstance(problem, Refused):
        return str(problem.body.message)
    stderr = problem.data.get("stderr")
    lines = stderr[-5:] if isinstance(stderr, list) else []
    said = [line for line in lines if line not in problem.message]
    return "\n".join([problem.message, *(f"| {line}" for line in said)])


def _advice(server: ServerConfig) -> str:
    if server.KIND == "stdio":
        return f"try by hand what it is started with: {server.target}"
    if server.KIND == "remote":
        return f"see whether {server.target} is up, and lets us in (mcptwist list URL)"
    return f"see whether {server.target} can be imported"
