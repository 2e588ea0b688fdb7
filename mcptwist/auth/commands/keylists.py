"""What ``mcptwist keygen`` does with files of keys, as ``ssh-keygen``: list, find, forget, hash."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator

from mcptwist.auth.asking.knownhosts import KnownHosts, name_of, read_host
from mcptwist.auth.authorizedkeys import LineProblem, read_line
from mcptwist.auth.commands.keycommand import FAILED, OK
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keyformats import ED25519, P256, RSA
from mcptwist.auth.keys import KeyProblem, PublicKey
from mcptwist.auth.keystore import KeyList, load_public

_KINDS = {ED25519: "ED25519", P256: "ECDSA", RSA: "RSA"}
_LARGEST = 4 << 20


def print_fingerprints(path: str) -> int:
    """Print the fingerprint of each key in a file: a key's, or a list such as ``known_hosts``.

    :raises FileProblem: it cannot be read.
    :raises KeyProblem: there is no key in it.
    """
    found = list(_keys_in(_content(path)))
    if not found:
        # A private key: what is beside it says whose it is, without its passphrase.
        beside = path if path.endswith(".pub") else f"{path}.pub"
        found = list(_keys_in(_content(beside))) or [(load_public(beside), "no comment")]
    for key, comment in found:
        print(shown(key, comment))
    return OK


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST)
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror}") from None


def _keys_in(text: str) -> Iterator[tuple[PublicKey, str]]:
    """The keys in lines of ``authorized_keys``, ``known_hosts`` or ``.pub`` files, and whose."""
    for line in text.splitlines():
        stripped = line.strip(" \t\r")
        if stripped and not stripped.startswith("#"):
            found = _own_key(stripped) or _authorized_key(stripped) or _key_of_host(stripped)
            if found is not None:
                yield found


def _own_key(line: str) -> tuple[PublicKey, str] | None:
    kind, text, comment = (*line.split(None, 2), "", "")[:3]
    try:
        return PublicKey.from_words(kind, text), comment or "no comment"
    except KeyProblem:
        return None


def _authorized_key(line: str) -> tuple[PublicKey, str] | None:
    try:
        grant = read_line(line)
    except LineProblem:
        return None
    return (grant.key, grant.principal) if isinstance(grant.key, PublicKey) else None


def _key_of_host(line: str) -> tuple[PublicKey, str] | None:
    host = read_host(line)
    if host is None:
        return None
    _, _, comment = line.partition(host.key.words())
    return host.key, comment.strip() or ",".join(host.hosts)


def shown(key: PublicKey, comment: str) -> str:
    """A key as ``ssh-keygen -l`` shows it."""
    plain = comment if comment.isprintable() else repr(comment)
    return f"{key.bits} {key.fingerprint} {plain} ({_KINDS[key.kind]})"


def find(path: str, host: str, port: int, only_fingerprints: bool) -> int:
    """Print the lines about a host."""
    found = KnownHosts(KeyList(path).text()).found(host, port)
    for number, line, entry in found:
        if only_fingerprints:
            print(f"# Host {name_of(host, port)} found: line {number} ")
            print(shown(entry.key, ",".join(entry.hosts)))
        else:
            mark = "REVOKED" if entry.revoked else ""
            print(f"# Host {name_of(host, port)} found: line {number} {mark}\n{line}")
    return OK if found else FAILED


def forget(path: str, host: str, port: int) -> int:
    """Take the lines about a host away."""
    count = 0

    def without(text: str) -> str:
        nonlocal count
        left, count = KnownHosts(text).without(host, port)
        return left

    KeyList(path).rewrite(without)
    print(f"{count} keys of {host}:{port} forgotten")
    return OK if count else FAILED


def hash_names(path: str) -> int:
    """Hash the names of hosts."""
    if not os.path.lexists(path):
        raise FileProblem(f"{path} does not exist")
    count = left = 0

    def hashed(text: str) -> str:
        nonlocal count, left
        made, count, left = KnownHosts(text).hashed(secrets.token_bytes)
        return made

    KeyList(path).rewrite(hashed)
    print(f"{count} names hashed in {path}")
    if left:
        print(f"mcptwist: {left} lines have patterns or marks and stay readable", file=sys.stderr)
    return OK
