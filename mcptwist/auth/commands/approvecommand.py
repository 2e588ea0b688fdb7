"""``mcptwist approve``: letting a browser or a device in, with a key.

Without a code it lists what waits at the daemons of this machine. With one, it shows who asks for
what, asks whether that is wanted, and signs the answer.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from twisted.internet.defer import CancelledError
from twisted.python import usage

from mcptwist import asking
from mcptwist.asking import DAEMON, FAILED, OK, VARIABLE, Say
from mcptwist.auth.asking.approving import Approver, Asked
from mcptwist.auth.asking.introduction import on_terminal
from mcptwist.auth.asking.sshagent import VARIABLE as AGENT
from mcptwist.auth.asking.sshagent import Agent as SshAgent
from mcptwist.auth.asking.touching import touched_signer
from mcptwist.auth.audit import inert
from mcptwist.auth.authorizedkeys import SCOPES
from mcptwist.auth.commands.reachoptions import ReachOptions
from mcptwist.auth.keys import ISigner, KeyProblem
from mcptwist.auth.keystore import PRIVATE, write_new
from mcptwist.auth.oauth.approvals import APPROVE, DENY, MEANING, Wanted, code_in
from mcptwist.awaited import Refused
from mcptwist.configuration.gateconfig import config_directory
from mcptwist.configuration.reach import Reach
from mcptwist.errors import McpTwistError, SignInFailed
from mcptwist.protocols.adminsocket import existing, is_alive
from mcptwist.protocols.remote import make_agent
from mcptwist.watching.builtin import APPROVALS
from mcptwist.watching.figures import span
from mcptwist.watching.reports import WaitingStatus
from mcptwist.watching.whereabouts import Way, Whereabouts
from mcptwist.wiring.reaching import introduce_to, make_identity, make_trust

Ask = Callable[[str], str]

_LAST = "approved-at"
"""The file that has the URL where something was approved last."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ApproveQuestion(msgspec.Struct, frozen=True):
    """What is to be approved.

    :ivar code: as it is written; empty to list what waits.
    :ivar base: of the daemon: scheme, host and port; empty where it has to be found.
    :ivar scopes: that are agreed to; empty for all that are wanted.
    :ivar verb: what is said without asking, ``None`` to ask.
    :ivar place: nothing is asked before it is known where.
    """

    code: str
    reach: Reach
    base: str = ""
    scopes: frozenset[str] = frozenset()
    verb: str | None = None
    place: str = ""


# --- what waits -----------------------------------------------------------------------------


async def list_waiting(question: ApproveQuestion, reactor: Any, say: Say, aside: Say) -> int:
    """Say what waits at the daemons of this machine."""
    waiting = await _waiting(reactor)
    if waiting is None:
        aside("no daemon of yours runs on this machine")
        return FAILED
    for each in waiting:
        where = f"browser, back to {each.host}" if each.host else "device"
        say(
            inert(
                f"{each.code}  {each.client} ({where})  {each.resource}  {' '.join(each.scopes)}  "
                f"asked from {each.source}, waits {span(each.seconds)} more"
            )
        )
    if not waiting:
        aside("nothing waits")
    return OK


async def _waiting(reactor: Any) -> list[WaitingStatus] | None:
    """What waits at the daemons of this machine; ``None`` where none runs."""
    sockets = [str(each) for each in existing(os.environ) if is_alive(each)]
    found: list[WaitingStatus] = []
    for socket in sockets:
        try:
            found += await _waiting_at(socket, reactor)
        except (McpTwistError, Refused):
            continue  # it has no keys, is of another version, or is about to stop
    return found if sockets else None


async def _waiting_at(socket: str, reactor: Any) -> list[WaitingStatus]:
    client = await Way(Whereabouts(socket), reactor).connect()
    try:
        (content, *_) = await client.read(APPROVALS)
    finally:
        await client.close()
    return msgspec.json.decode(str(content.get("text", "")), type=list[WaitingStatus])


async def _base_of(question: ApproveQuestion, reactor: Any, aside: Say) -> str:
    """Where the code is: at a daemon of this machine, or where something was approved last."""
    if question.base:
        return question.base
    waiting = await _waiting(reactor)
    for each in waiting or ():
        if each.code == question.code:
            return each.issuer
    base = _last() or DAEMON
    aside(f"{question.code} does not wait on this machine; asking {base} (--url says otherwise)")
    return base


def _last() -> str:
    try:
        with open(os.path.join(config_directory(os.environ), _LAST), encoding="ascii") as file:
            return base_of(file.read(2048).strip())
    except (OSError, ValueError, usage.UsageError):
        return ""


def _remember(base: str) -> None:
    """Next time it is tried there first; where that cannot be written down, it is not."""
    directory = config_directory(os.environ)
    path = os.path.join(directory, _LAST)
    if _last() == base:
        return
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        write_new(path, f"{base}\n".encode(), PRIVATE)
    except OSError:
        return


# --- deciding -------------------------------------------------------------------------------


async def approve(question: ApproveQuestion, reactor: Any, say: Say, aside: Say) -> int:
    """Show what waits, have the person decide, and sign that."""
    base = await _base_of(question, reactor, aside)
    introduce_to(base, question.reach)

    async def load() -> ISigner:
        socket = os.environ.get(AGENT)
        agent = SshAgent(socket, reactor) if socket else None
        try:
            touched = await touched_signer(question.reach.key or "", agent)
        except KeyProblem as problem:
            raise SignInFailed(str(problem)) from None
        if touched is not None:
            aside("touch your key, if it blinks")
            return touched
        return await make_identity(question.reach, reactor).load()

    def approver() -> Approver:
        # A person takes time to read; no connection is kept open meanwhile.
        return Approver(base, load, make_agent(reactor, make_trust(question.reach)), reactor)

    asked = await approver().look(question.code)
    scopes = question.scopes or asked.wanted.scopes
    if not scopes <= asked.wanted.scopes:
        wanted = " ".join(sorted(asked.wanted.scopes))
        raise SignInFailed(f"more than is asked for cannot be approved; that is {wanted}")
    aside(shown(asked, scopes))
    verb = question.verb or _decided(on_terminal())
    if verb is None:
        aside("no answer, so nothing was done")
        return FAILED
    came = await approver().decide(asked, verb, scopes)
    _remember(base)
    say(outcome(came))
    return OK


def _decided(ask: Ask | None) -> str | None:
    """What the person says; ``None`` if nothing.

    :raises SignInFailed: there is nobody to be asked.
    """
    if ask is None:
        raise SignInFailed("there is no terminal to ask on; say --yes or --deny")
    with _interruptible():
        for _ in range(3):
            answer = ask("Let it in (yes/no)? ").strip().lower()
            if answer in ("yes", "no"):
                return APPROVE if answer == "yes" else DENY
            if not answer:
                return None
    return None


@contextmanager
def _interruptible() -> Iterator[None]:
    """While a person is asked, Ctrl-C is for the question, and not for the reactor."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise CancelledError from None
    finally:
        signal.signal(signal.SIGINT, before)


def outcome(came: dict[str, Any]) -> str:
    """What came of it, in a line."""
    principal = inert(str(came.get("principal", "?")))
    if came.get("outcome") == "approved":
        return f"approved: it may {inert(str(came.get('scope', '')))} as {principal}"
    return f"denied, by {principal}"


# --- what is shown --------------------------------------------------------------------------


def shown(asked: Asked, scopes: frozenset[str]) -> str:
    """Who asks for what, in clear words. Whatever a stranger chose of it is made harmless."""
    wanted = asked.wanted
    lines = [
        f"{asked.code} asks to be let in at {inert(wanted.issuer)} with your key.",
        f"  program   {inert(wanted.client_name) or '?'}, as it calls itself; any program may",
        f"  where     {_where(wanted)}",
        f"  for       {inert(wanted.resource.url)}",
        *(f"  may       {name}: {MEANING[name]}" for name in SCOPES if name in scopes),
        *(f"  not       {name}" for name in SCOPES if name in wanted.scopes - scopes),
        f"  asked     from the address {inert(wanted.source)}; {span(asked.expires_in)} are left",
        f"Say yes only if you have just begun this yourself, and it shows {asked.code}. Whoever",
        "sent you a code wants to come in with your key.",
    ]
    return "\n".join(lines)


def _where(wanted: Wanted) -> str:
    """Where what is given out goes."""
    if not wanted.redirect_uri:
        return "a device or a program elsewhere, which shows the code"
    host = inert(wanted.host)
    try:
        parts = urlsplit(wanted.redirect_uri)
        name, scheme = parts.hostname or "", parts.scheme
    except ValueError:
        name, scheme = "", ""
    if name in _LOOPBACK:
        return f"{host}: any program may listen there on the machine with the browser"
    if scheme not in ("http", "https"):
        return f"whichever program opens {inert(scheme)}: links on the machine with the browser"
    return f"the website {host}"


def base_of(url: str) -> str:
    """The issuer at *url*: scheme, host and port.

    :raises UsageError: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or not parts.netloc.isascii():
        raise usage.UsageError("--url is that of the daemon, such as https://HOST:8443")
    default = ":443" if parts.scheme == "https" else ":80"
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(default)}"


class ApproveOptions(ReachOptions):
    """Let a browser or a device in that shows a code; without a code, list what waits here.

    What is let in may do what your key may, and no more. What waits at a daemon of this machine is
    found by itself; otherwise it is looked for where something was approved last.
    """

    synopsis = "mcptwist approve [options] [CODE]"
    optParameters = [
        ["url", "u", None, f"The daemon, such as https://HOST:8443 (or {VARIABLE})."],
        ["scope", None, "", "What it shall be let in for, of what it asks for."],
    ]
    optFlags = [
        ["deny", None, "Say no, without being asked."],
        ["yes", None, "Say yes, without being asked."],
    ]

    def parseArgs(self, code: str = "") -> None:
        """Called with what follows the options."""
        found = code_in(code)
        if code and found is None:
            raise usage.UsageError("that is no code; codes look like BCDF-GHJK")
        self["code"] = found or ""

    def postOptions(self) -> None:
        """Called when all options are there."""
        if self["deny"] and self["yes"]:
            raise usage.UsageError("either --yes or --deny")
        scopes = frozenset(self["scope"].split())
        if not scopes <= frozenset(SCOPES):
            raise usage.UsageError(f"--scope is of {' '.join(SCOPES)}")
        given = self["url"] or os.environ.get(VARIABLE) or ""
        verb = DENY if self["deny"] else APPROVE if self["yes"] else None
        base = base_of(given) if given else ""
        self["question"] = ApproveQuestion(self["code"], self.reach, base, scopes, verb)

    def perform(self) -> int:
        """Do it."""
        return asking.perform(approve if self["code"] else list_waiting, self["question"])
