"""``mcptwist authorize`` and ``revoke``: who is let in."""

from __future__ import annotations

import os
import sys
import time

from twisted.python import usage

from mcptwist.auth.authorizedkeys import (
    KEYS_PER_PRINCIPAL,
    Grant,
    LineProblem,
    duration,
    read_authorized_keys,
    read_line,
    succeeded,
)
from mcptwist.auth.commands.keycommand import FAILED, OK, KeyCommand, Nouns, own, tell_root
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keys import is_fingerprint
from mcptwist.auth.keystore import KeyList, is_line_of, is_revoked_by, load_any_public

_OPTIONS = ("principal", "scope", "tools", "resources", "prompts", "from", "expiry-time",
            "not-before", "max-token-ttl", "resource")  # fmt: skip
_LONGEST = 64 * 1024
_FLAGS = ("require-dpop", "require-signature", "no-oauth", "no-mtls", "no-ws")


class _Authorizing(KeyCommand):
    optParameters = [["file", None, None, "authorized_keys; the person's own otherwise."]]

    @property
    def lines(self) -> KeyList:
        """The file."""
        return KeyList(self["file"] or own("authorized_keys"))


class AuthorizeAddOptions(_Authorizing):
    """Let a key in: a .pub file, a line of text, or - for standard input."""

    synopsis = "mcptwist authorize add [options] KEY"
    optParameters = [
        *_Authorizing.optParameters,
        *([name, None, None, f"As the option {name}."] for name in _OPTIONS),
    ]
    optFlags = [[name, None, f"As the option {name}."] for name in _FLAGS]

    def parseArgs(self, *key: str) -> None:
        """Called with what follows the options."""
        if not key:
            raise usage.UsageError("which key?")
        self["key"] = " ".join(key)

    def do(self) -> int:
        """Add its line, if it is understood."""
        options = [f'{name}="{self[name]}"' for name in _OPTIONS if self[name]]
        options += [name for name in _FLAGS if self[name]]
        line = " ".join(filter(None, [",".join(options), self._key()]))
        grant = read_line(line)
        there = read_authorized_keys(self.lines.text(), sys.maxsize)
        if grant.key.fingerprint in there.grants:
            raise LineProblem("that key is let in already; remove it first")
        self.lines.add(line)
        print(f"{grant.principal} {grant.key.fingerprint} {' '.join(sorted(grant.scopes))}")
        same = sum(each.principal == grant.principal for each in there.grants.values())
        if same >= KEYS_PER_PRINCIPAL:
            text = f"{grant.principal} has {same + 1} keys; [auth.limits] keys_per_principal is"
            print(f"mcptwist: {text} {KEYS_PER_PRINCIPAL} unless it says more", file=sys.stderr)
        if not self["file"]:
            tell_root(self.lines.path)
        return OK

    def _key(self) -> str:
        return _line_of(self["key"])


def _line_of(given: str) -> str:
    """The line of a key that is given as a .pub file, as itself, or on standard input (-)."""
    if given == "-":
        given = sys.stdin.read(_LONGEST)
    elif " " not in given:
        given = _content(given)
    lines = [line for line in given.splitlines() if line.strip()]
    if len(lines) != 1:
        raise LineProblem("give one key, on one line")
    return lines[0].strip()


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST)
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror}") from None


class AuthorizeListOptions(_Authorizing):
    """Print who is let in."""

    synopsis = "mcptwist authorize list [--file FILE]"

    def do(self) -> int:
        """Print them, and the lines that are not understood."""
        found = read_authorized_keys(self.lines.text())
        revoked = KeyList(os.path.join(os.path.dirname(self.lines.path), "revoked_keys")).text()
        for grant in found.grants.values():
            is_revoked = is_revoked_by(revoked, grant.key.fingerprint)
            print(_shown(grant, time.time()), *(["(revoked)"] if is_revoked else []))
        for line in found.refused:
            print(f"line {line.number} is refused: it {line.reason}", file=sys.stderr)
        return FAILED if found.refused else OK


def _shown(grant: Grant, now: float) -> str:
    """One who is let in, on a line."""
    words = [grant.principal, grant.key.fingerprint, *sorted(grant.scopes)]
    if grant.expires is not None:
        end = time.strftime("%Y-%m-%d %H:%M", time.localtime(grant.expires))
        words.append(f"({'until' if grant.is_good(now) else 'ended'} {end})")
    return " ".join(words)


class AuthorizeRemoveOptions(_Authorizing):
    """Let a key in no more; what it has open is ended within a second."""

    synopsis = "mcptwist authorize rm [--file FILE] PRINCIPAL|SHA256:…"

    def parseArgs(self, name: str = "") -> None:
        """Called with what follows the options."""
        if not name:
            raise usage.UsageError("whom?")
        self["name"] = name

    def do(self) -> int:
        """Remove the lines."""
        count = self.lines.keep(lambda line: not is_line_of(line, self["name"]))
        print(f"{count} removed")
        return OK if count else FAILED


class AuthorizeRotateOptions(_Authorizing):
    """Let a new key in with what an old one may do; the old one is good for a while longer."""

    synopsis = "mcptwist authorize rotate [--file FILE] [--grace 7d] PRINCIPAL|SHA256:… KEY"
    optParameters = [
        *_Authorizing.optParameters,
        [
            "grace",
            None,
            "7d",
            "How long the old key is good still, such as 12h; 0: no more.",
        ],
    ]

    def parseArgs(self, name: str = "", *key: str) -> None:
        """Called with what follows the options."""
        if not name or not key:
            raise usage.UsageError("whose key, and which new one?")
        self["name"], self["key"] = name, " ".join(key)

    def do(self) -> int:
        """Add the new line after the old one."""
        successor = _line_of(self["key"])
        new = read_line(successor)
        grace = 0 if self["grace"] == "0" else duration(self["grace"])
        there = read_authorized_keys(self.lines.text())
        if new.key.fingerprint in there.grants:
            raise LineProblem("that key is let in already")
        wanted = self["name"]
        old = [g for g in there.grants.values() if wanted in (g.principal, g.key.fingerprint)]
        if len(old) != 1:
            few = "nobody is called that" if not old else "several keys are called that"
            raise LineProblem(f"{few}; see mcptwist authorize list, and name one by its SHA256:…")
        until = time.time() + grace

        def changed(line: str) -> list[str]:
            if not is_line_of(line, old[0].key.fingerprint):
                return [line]
            before, after = succeeded(line.strip(), successor, until)
            return [before, after] if grace else [after]

        self.lines.change(changed)
        end = time.strftime("%Y-%m-%d %H:%M", time.localtime(until)) if grace else "now"
        print(f"{old[0].principal} {new.key.fingerprint}")
        print(f"{old[0].key.fingerprint} is good until {end}")
        return OK


class AuthorizeOptions(Nouns):
    """Say who is let in."""

    synopsis = "mcptwist authorize COMMAND"
    subCommands = [
        ["add", None, AuthorizeAddOptions, "Let a key in."],
        ["list", None, AuthorizeListOptions, "Print who is let in."],
        ["rm", None, AuthorizeRemoveOptions, "Let a key in no more."],
        ["rotate", None, AuthorizeRotateOptions, "Let a new key in for an old one."],
    ]


class RevokeOptions(KeyCommand):
    """Let a key in nowhere any more, whatever authorized_keys says.

    A principal's name stands for all keys that authorized_keys has for it.
    """

    synopsis = "mcptwist revoke [--file FILE] SHA256:…|FILE.pub|PRINCIPAL"
    optParameters = [
        ["file", None, None, "revoked_keys; the person's own otherwise."],
        ["authorized", None, None, "authorized_keys, where principals are looked up."],
    ]

    def parseArgs(self, key: str = "") -> None:
        """Called with what follows the options."""
        if not key:
            raise usage.UsageError("which key?")
        self["key"] = key

    def do(self) -> int:
        """Add it."""
        keys = KeyList(self["file"] or own("revoked_keys"))
        for fingerprint in self._fingerprints():
            if not is_revoked_by(keys.text(), fingerprint):
                keys.add(fingerprint)
            print(f"{fingerprint} is revoked")
        return OK

    def _fingerprints(self) -> list[str]:
        given: str = self["key"]
        if is_fingerprint(given):
            return [given]
        if os.path.lexists(given):
            return [load_any_public(given).fingerprint]
        text = KeyList(self["authorized"] or own("authorized_keys")).text()
        grants = read_authorized_keys(text).grants.values()
        found = [grant.key.fingerprint for grant in grants if grant.principal == given]
        if not found:
            raise LineProblem(f"{given} is no fingerprint, no file, and nobody in authorized_keys")
        return found
