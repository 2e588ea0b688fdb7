"""``mcptwist keygen``, ``key`` and ``keyscan``: keys of one's own, and those of hosts."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import sys
import time

from twisted.python import usage

from mcptwist.auth.asking.identity import ask_passphrase
from mcptwist.auth.asking.introduction import announced, scan
from mcptwist.auth.asking.knownhosts import line_of
from mcptwist.auth.commands import keylists
from mcptwist.auth.commands.keycommand import OK, KeyCommand, Nouns, own, tell_root
from mcptwist.auth.keys import ED25519, P256, RSA, KeyProblem, PrivateKey
from mcptwist.auth.keystore import (
    PRIVATE,
    PUBLIC,
    load_any_public,
    load_private,
    load_public,
    write_new,
)

_KINDS = {"ed25519": ED25519, "ecdsa": P256, "rsa": RSA}
_NAMES = {ED25519: "id_ed25519", P256: "id_ecdsa", RSA: "id_rsa"}


class KeygenOptions(KeyCommand):
    """Make a key, or look at keys and hosts, as ssh-keygen does.

    A HOST without a port is at 443.
    """

    synopsis = (
        "mcptwist keygen [-t ed25519|ecdsa|rsa] [-f FILE] [-N PASSPHRASE] [-C COMMENT]\n"
        "       mcptwist keygen (-l | -F HOST:PORT [-l] | -R HOST:PORT | -H) [-f FILE]"
    )
    optParameters = [
        ["type", "t", "ed25519", "The kind of key: ed25519, ecdsa or rsa."],
        ["file", "f", None, "Where to put it; beside it FILE.pub."],
        ["passphrase", "N", None, "Encrypts the file; asked for otherwise. Empty for none."],
        ["comment", "C", None, "What its owner is called; the part before @ is the principal."],
        ["find", "F", None, "Print what known_hosts (or FILE) says of HOST:PORT."],
        ["remove", "R", None, "Forget the keys of HOST:PORT in known_hosts (or FILE)."],
    ]
    optFlags = [
        ["list", "l", "Print the fingerprints of FILE: a key, known_hosts or authorized_keys."],
        ["hash", "H", "Hash the names of hosts in known_hosts (or FILE)."],
    ]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if self["type"] not in _KINDS:
            raise usage.UsageError("--type is one of ed25519, ecdsa, rsa")

    def do(self) -> int:
        """Make it, or what else was asked for."""
        hosts = self["file"] or own("known_hosts")
        if self["find"]:
            return keylists.find(hosts, *_host_and_port(self["find"]), bool(self["list"]))
        if self["remove"]:
            return keylists.forget(hosts, *_host_and_port(self["remove"]))
        if self["hash"]:
            return keylists.hash_names(hosts)
        path = self["file"] or own(_NAMES[_KINDS[self["type"]]])
        return keylists.print_fingerprints(path) if self["list"] else self._make(path)

    def _make(self, path: str) -> int:
        kind = _KINDS[self["type"]]
        _ask_about_old(path)
        private = PrivateKey.generate(kind)
        comment = self["comment"] or f"{getpass.getuser()}@{socket.gethostname()}"
        if not comment.isprintable():
            raise KeyProblem("the comment holds characters that do something")
        write_new(path, private.openssh(self._passphrase()), PRIVATE)
        write_new(f"{path}.pub", f"{private.public.words()} {comment}\n".encode(), PUBLIC)
        print(f"{path}\n{path}.pub\n{private.public.fingerprint} {comment}")
        if not self["file"]:
            tell_root(path)
        return OK

    def _passphrase(self) -> bytes | None:
        given = self["passphrase"]
        if given is None and sys.stdin.isatty():
            given = getpass.getpass("Passphrase (empty for none): ")
            if given != getpass.getpass("The same again: "):
                raise KeyProblem("the passphrases differ")
        return given.encode() if given else None


def _ask_about_old(path: str) -> None:
    """Take a key that is there out of the way, if the person says so; otherwise it stays."""
    old = [each for each in (path, f"{path}.pub") if os.path.lexists(each)]
    if not old or not sys.stdin.isatty():
        return
    print(f"{old[0]} already exists.", file=sys.stderr)
    print("Overwrite (y/n)? ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise KeyProblem(f"{old[0]} stays as it is")
    for each in old:
        os.unlink(each)


class KeyShowOptions(KeyCommand):
    """Print a key's public half and its fingerprint."""

    synopsis = "mcptwist key show [FILE]"

    def parseArgs(self, path: str = "") -> None:
        """Called with what follows the options."""
        self["path"] = path or own("id_ed25519")

    def do(self) -> int:
        """Print it."""
        path = self["path"]
        public = load_any_public(path if path.endswith(".pub") else f"{path}.pub")
        print(f"{public.words()}\n{public.fingerprint}")
        if public.thumbprint:  # keys in hardware sign no JWS
            print(f"JWK thumbprint {public.thumbprint}")
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


class KeyOptions(Nouns):
    """Look at a key."""

    synopsis = "mcptwist key COMMAND"
    subCommands = [
        ["show", None, KeyShowOptions, "Print its public half and its fingerprint."],
        ["export", None, KeyExportOptions, "Print it in another format."],
    ]


class KeyscanOptions(KeyCommand):
    """Print the key that a host shows, and the one that will follow it, as lines for known_hosts.

    Nobody has vouched for them.
    """

    synopsis = "mcptwist keyscan [-H] HOST[:PORT]"
    optFlags = [["hash", "H", "Hash the host's name."]]

    def parseArgs(self, host: str = "") -> None:
        """Called with what follows the options."""
        if not host:
            raise usage.UsageError("which host?")
        self["host"], self["port"] = _host_and_port(host)

    def do(self) -> int:
        """Print it; the fingerprint goes to standard error, to be compared."""
        where = self["host"], self["port"]
        key = scan(*where)
        salt = secrets.token_bytes if self["hash"] else None
        print(line_of(*where, key, salt))
        print(f"{key.fingerprint} {self['host']}:{self['port']}", file=sys.stderr)
        said = announced(*where, key)
        if said is not None and said.following is not None:
            print(line_of(*where, said.following, salt))
            begins = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(said.begins or 0))
            print(f"{said.following.fingerprint} will follow it, {begins}", file=sys.stderr)
        return OK


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "443"
    if not port.isdecimal() or not 0 < int(port) < 65536 or not host:
        raise usage.UsageError("that is no HOST:PORT")
    return host.strip("[]"), int(port)
