"""The commands about keys: ``keygen``, ``key``, ``authorize``, ``revoke``, ``keyscan``.

They have the habits of OpenSSH's. Files are in the person's own directory unless they say
otherwise; nothing is ever overwritten, and no secret is printed but where it was asked for.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import sys
from typing import Any

from twisted.python import usage

from mcptwist.auth.authorizedkeys import LineProblem, read_authorized_keys, read_line
from mcptwist.auth.denials import CannotStart
from mcptwist.auth.identity import ask_passphrase
from mcptwist.auth.introduction import scan
from mcptwist.auth.keys import ED25519, P256, RSA, KeyProblem, PrivateKey, is_fingerprint
from mcptwist.auth.keystore import (
    PRIVATE,
    PUBLIC,
    KeyList,
    is_line_of,
    is_revoked_by,
    load_private,
    load_public,
    write_new,
)
from mcptwist.auth.knownhosts import KnownHosts, line_of
from mcptwist.command import Command
from mcptwist.configuration.gateconfig import config_directory
from mcptwist.errors import HostNotTrusted, McpTwistError

OK, FAILED, USAGE, NOT_TRUSTED = 0, 1, 2, 3
_TROUBLES = (CannotStart, KeyProblem, LineProblem, McpTwistError, OSError)
_KINDS = {"ed25519": ED25519, "ecdsa": P256, "rsa": RSA}
_NAMES = {ED25519: "id_ed25519", P256: "id_ecdsa", RSA: "id_rsa"}
_OPTIONS = ("principal", "scope", "tools", "resources", "prompts", "from", "expiry-time",
            "not-before", "max-token-ttl", "resource")  # fmt: skip
_FLAGS = ("require-dpop", "no-oauth", "no-mtls", "no-ws")


def own(name: str) -> str:
    """A file of the person's own."""
    return os.path.join(config_directory(os.environ), name)


class KeyCommand(Command):
    """One of the commands about keys."""

    is_free = True

    def perform(self) -> int:
        """Do it; what goes wrong is told on standard error."""
        try:
            return self.do()
        except usage.UsageError as problem:
            return _failed(problem, USAGE)
        except HostNotTrusted as problem:
            return _failed(problem, NOT_TRUSTED)
        except _TROUBLES as problem:
            return _failed(problem, FAILED)

    def do(self) -> int:
        """What the command does; returns its exit status."""
        raise NotImplementedError


def _failed(problem: Exception, status: int) -> int:
    print(f"mcptwist: {problem}", file=sys.stderr)
    return status


class KeygenOptions(KeyCommand):
    """Make a key, or look at one; or forget the key of a host."""

    synopsis = "mcptwist keygen [-t ed25519|ecdsa|rsa] [-f FILE] [-N PASSPHRASE] [-C COMMENT]"
    optParameters = [
        ["type", "t", "ed25519", "The kind of key: ed25519, ecdsa or rsa."],
        ["file", "f", None, "Where to put it; beside it FILE.pub."],
        ["passphrase", "N", None, "Encrypts the file; asked for otherwise. Empty for none."],
        ["comment", "C", None, "What its owner is called; the part before @ is the principal."],
        ["remove", "R", None, "Forget the keys of HOST:PORT in known_hosts (or FILE)."],
    ]
    optFlags = [["list", "l", "Print the fingerprint of FILE instead."]]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if self["type"] not in _KINDS:
            raise usage.UsageError("--type is one of ed25519, ecdsa, rsa")

    def do(self) -> int:
        """Make it."""
        if self["remove"]:
            file = self["file"] or own("known_hosts")
            return _forget(KeyList(file), *_host_and_port(self["remove"]))
        kind = _KINDS[self["type"]]
        path = self["file"] or own(_NAMES[kind])
        if self["list"]:
            public = load_public(path if path.endswith(".pub") else f"{path}.pub")
            print(f"{public.fingerprint} {path} ({public.kind})")
            return OK
        private = PrivateKey.generate(kind)
        comment = self["comment"] or f"{getpass.getuser()}@{socket.gethostname()}"
        if not comment.isprintable():
            raise KeyProblem("the comment holds characters that do something")
        write_new(path, private.openssh(self._passphrase()), PRIVATE)
        write_new(f"{path}.pub", f"{private.public.words()} {comment}\n".encode(), PUBLIC)
        print(f"{path}\n{path}.pub\n{private.public.fingerprint} {comment}")
        return OK

    def _passphrase(self) -> bytes | None:
        given = self["passphrase"]
        if given is None and sys.stdin.isatty():
            given = getpass.getpass("Passphrase (empty for none): ")
            if given != getpass.getpass("The same again: "):
                raise KeyProblem("the passphrases differ")
        return given.encode() if given else None


def _forget(known: KeyList, host: str, port: int) -> int:
    text, count = KnownHosts(known.text()).without(host, port)
    if count:
        lines = set(text.splitlines())
        known.keep(lambda line: line in lines)
    print(f"{count} keys of {host}:{port} forgotten")
    return OK if count else FAILED


class KeyShowOptions(KeyCommand):
    """Print a key's public half and its fingerprint."""

    synopsis = "mcptwist key show [FILE]"

    def parseArgs(self, path: str = "") -> None:
        """Called with what follows the options."""
        self["path"] = path or own("id_ed25519")

    def do(self) -> int:
        """Print it."""
        path = self["path"]
        public = load_public(path if path.endswith(".pub") else f"{path}.pub")
        print(f"{public.words()}\n{public.fingerprint}\nJWK thumbprint {public.thumbprint}")
        return OK


class KeyExportOptions(KeyCommand):
    """Print a key in another format, for clients that want it so."""

    synopsis = "mcptwist key export (--jwk | --pem | --ssh) [--private] [FILE]"
    optFlags = [
        ["jwk", None, "As a JSON Web Key."],
        ["pem", None, "As PEM (PKCS#8, or SubjectPublicKeyInfo)."],
        ["ssh", None, "As OpenSSH has it."],
        ["private", None, "The private key, which must not be shown to anybody."],
    ]

    def parseArgs(self, path: str = "") -> None:
        """Called with what follows the options."""
        self["path"] = path or own("id_ed25519")

    def postOptions(self) -> None:
        """Called when all options are there."""
        if sum(self[form] for form in ("jwk", "pem", "ssh")) != 1:
            raise usage.UsageError("give one of --jwk, --pem and --ssh")

    def do(self) -> int:
        """Print it."""
        path: str = self["path"].removesuffix(".pub")
        print(self._private(path) if self["private"] else self._public(path))
        return OK

    def _private(self, path: str) -> str:
        private = load_private(path, lambda: ask_passphrase(path))
        if self["jwk"]:
            return json.dumps(private.jwk())
        return (private.pem() if self["pem"] else private.openssh()).decode().rstrip()

    def _public(self, path: str) -> str:
        public = load_public(f"{path}.pub")
        if self["jwk"]:
            return json.dumps({**public.jwk(), "kid": public.thumbprint})
        return public.pem().rstrip() if self["pem"] else public.words()


class KeyOptions(KeyCommand):
    """Look at a key."""

    synopsis = "mcptwist key COMMAND"
    is_free = False
    subCommands = [
        ["show", None, KeyShowOptions, "Print its public half and its fingerprint."],
        ["export", None, KeyExportOptions, "Print it in another format."],
    ]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if getattr(self, "subOptions", None) is None:
            raise usage.UsageError("which command?")

    def do(self) -> int:
        """Do what was asked."""
        command: Any = self.subOptions
        status: int = command.perform()
        return status


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


class AuthorizeOptions(KeyCommand):
    """Say who is let in."""

    synopsis = "mcptwist authorize COMMAND"
    is_free = False
    subCommands = [
        ["add", None, AuthorizeAddOptions, "Let a key in."],
        ["list", None, AuthorizeListOptions, "Print who is let in."],
        ["rm", None, AuthorizeRemoveOptions, "Let a key in no more."],
    ]
    postOptions = KeyOptions.postOptions
    do = KeyOptions.do


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


class KeyscanOptions(KeyCommand):
    """Print the key that a host shows, as a line for known_hosts. Nobody has vouched for it."""

    synopsis = "mcptwist keyscan [-H] HOST[:PORT]"
    optFlags = [["hash", "H", "Hash the host's name."]]

    def parseArgs(self, host: str = "") -> None:
        """Called with what follows the options."""
        if not host:
            raise usage.UsageError("which host?")
        self["host"], self["port"] = _host_and_port(host)

    def do(self) -> int:
        """Print it; the fingerprint goes to standard error, to be compared."""
        key = scan(self["host"], self["port"])
        salt = secrets.token_bytes if self["hash"] else None
        print(line_of(self["host"], self["port"], key, salt))
        print(f"{key.fingerprint} {self['host']}:{self['port']}", file=sys.stderr)
        return OK


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "443"
    if not port.isdecimal() or not 0 < int(port) < 65536 or not host:
        raise usage.UsageError("that is no HOST:PORT")
    return host.strip("[]"), int(port)


COMMANDS = [
    ["keygen", None, KeygenOptions, "Make a key."],
    ["key", None, KeyOptions, "Look at a key."],
    ["authorize", None, AuthorizeOptions, "Say who is let in."],
    ["revoke", None, RevokeOptions, "Let a key in nowhere any more."],
    ["keyscan", None, KeyscanOptions, "Print the key that a host shows."],
]
"""For the command line."""
