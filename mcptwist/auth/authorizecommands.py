"""``mcptwist authorize`` and ``revoke``: who is let in."""

from __future__ import annotations

import sys

from twisted.python import usage

from mcptwist.auth.authorizedkeys import LineProblem, read_authorized_keys, read_line
from mcptwist.auth.keycommand import FAILED, OK, KeyCommand, Nouns, own
from mcptwist.auth.keys import is_fingerprint
from mcptwist.auth.keystore import KeyList, is_line_of, is_revoked_by, load_public

_OPTIONS = ("principal", "scope", "tools", "resources", "prompts", "from", "expiry-time",
            "not-before", "max-token-ttl", "resource")  # fmt: skip
_FLAGS = ("require-dpop", "no-oauth", "no-mtls", "no-ws")


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
        there = read_authorized_keys(self.lines.text())
        if grant.key.fingerprint in there.grants:
            raise LineProblem("that key is let in already; remove it first")
        self.lines.add(line)
        print(f"{grant.principal} {grant.key.fingerprint} {' '.join(sorted(grant.scopes))}")
        return OK

    def _key(self) -> str:
        given: str = self["key"]
        if given == "-":
            given = sys.stdin.read(64 * 1024)
        elif " " not in given:
            with open(given, encoding="utf-8") as file:
                given = file.read(64 * 1024)
        lines = [line for line in given.splitlines() if line.strip()]
        if len(lines) != 1:
            raise LineProblem("give one key, on one line")
        return lines[0].strip()


class AuthorizeListOptions(_Authorizing):
    """Print who is let in."""

    synopsis = "mcptwist authorize list [--file FILE]"

    def do(self) -> int:
        """Print them, and the lines that are not understood."""
        found = read_authorized_keys(self.lines.text())
        for grant in found.grants.values():
            print(grant.principal, grant.key.fingerprint, " ".join(sorted(grant.scopes)))
        for line in found.refused:
            print(f"line {line.number} is refused: it {line.reason}", file=sys.stderr)
        return FAILED if found.refused else OK


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


class AuthorizeOptions(Nouns):
    """Say who is let in."""

    synopsis = "mcptwist authorize COMMAND"
    subCommands = [
        ["add", None, AuthorizeAddOptions, "Let a key in."],
        ["list", None, AuthorizeListOptions, "Print who is let in."],
        ["rm", None, AuthorizeRemoveOptions, "Let a key in no more."],
    ]


class RevokeOptions(KeyCommand):
    """Let a key in nowhere any more, whatever authorized_keys says."""

    synopsis = "mcptwist revoke [--file FILE] SHA256:…|FILE.pub"
    optParameters = [["file", None, None, "revoked_keys; the person's own otherwise."]]

    def parseArgs(self, key: str = "") -> None:
        """Called with what follows the options."""
        if not key:
            raise usage.UsageError("which key?")
        self["key"] = key

    def do(self) -> int:
        """Add it."""
        given: str = self["key"]
        fingerprint = given if is_fingerprint(given) else load_public(given).fingerprint
        keys = KeyList(self["file"] or own("revoked_keys"))
        if not is_revoked_by(keys.text(), fingerprint):
            keys.add(fingerprint)
        print(f"{fingerprint} is revoked")
        return OK
