"""Keys and lists of keys in a person's files: written so that they are whole, and nobody else's."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mcptwist.auth.authorizedkeys import LineProblem, read_line, read_revoked_keys
from mcptwist.auth.keyfiles import FileProblem, read_strictly
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import KeyProblem, PrivateKey, PublicKey
from mcptwist.auth.securitykeys import KINDS as IN_HARDWARE
from mcptwist.auth.securitykeys import SecurityKey, read_key

PRIVATE, PUBLIC = 0o600, 0o644
_LARGEST = 1 << 20
_LONGEST_PUBLIC = 64 * 1024


def load_private(path: str, ask: Callable[[], bytes | None]) -> PrivateKey:
    """The private key of a file that nobody else can read.

    :param ask: for the passphrase, where there is one.
    :raises FileProblem: the file cannot be read, or others can read it.
    :raises KeyProblem: it holds no key, or the passphrase is wrong.
    """
    text = read_strictly(path, secret=True).encode()
    try:
        return PrivateKey.from_text(text)
    except KeyProblem:
        passphrase = ask()
        if passphrase is None:
            raise
        return PrivateKey.from_text(text, passphrase)


def load_public(path: str, most: int = _LONGEST_PUBLIC) -> PublicKey:
    """The public key of a ``.pub`` file, PEM or JWK.

    :raises FileProblem: the file cannot be read.
    :raises KeyProblem: it holds no key.
    """
    return PublicKey.from_text(_public_text(path, most))


def load_any_public(path: str) -> PublicKey | SecurityKey:
    """The same for every key that a line may have: in hardware, or of RSA with fewer bits.

    :raises FileProblem: the file cannot be read.
    :raises KeyProblem: it holds no key.
    """
    text = _public_text(path, _LONGEST_PUBLIC)
    kind, _, rest = text.strip().partition(" ")
    if kind in IN_HARDWARE:
        return read_key(kind, rest.partition(" ")[0])
    return PublicKey.from_text(text, SMALLEST_HOST_RSA)


def _public_text(path: str, most: int) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror}") from None


def key_of_certificate(path: str) -> PublicKey | None:
    """The key of the first certificate in a PEM file; ``None`` if there is none that we take."""
    try:
        with open(path, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read(_LARGEST))
        key = certificate.public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey.from_spki(spki, SMALLEST_HOST_RSA)
    except (OSError, UnsupportedAlgorithm, ValueError):
        return None


def write_new(path: str, content: bytes, mode: int) -> None:
    """Write a file that is not there yet.

    :raises FileProblem: it is there, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        with open(os.open(path, flags, mode), "wb") as file:
            file.write(content)
    except OSError as problem:
        if isinstance(problem, FileExistsError) and problem.filename == path:
            raise FileProblem(f"{path} is there already; it is not overwritten") from None
        raise FileProblem(f"{path} cannot be written: {problem.strerror}") from None


class KeyList:
    """A file of lines that a daemon reads while we write it: it only ever sees whole ones."""

    def __init__(self, path: str) -> None:
        self.path = path

    def text(self) -> str:
        """What it says, nothing if it is not there."""
        return read_strictly(self.path) if os.path.lexists(self.path) else ""

    def add(self, line: str) -> None:
        """Add a line at the end.

        :raises FileProblem: it cannot be written.
        """
        with self._locked():
            text = self.text()
            if text and not text.endswith("\n"):
                text += "\n"
            self._replace(f"{text}{line}\n")

    def keep(self, is_kept: Callable[[str], bool]) -> int:
        """Leave out the lines that are not kept; how many these were.

        :raises FileProblem: it cannot be written.
        """
        with self._locked():
            lines = _lines(self.text())
            kept = [line for line in lines if is_kept(line)]
            if len(kept) < len(lines):
                self._replace("".join(f"{line}\n" for line in kept))
            return len(lines) - len(kept)

    def rewrite(self, changed: Callable[[str], str]) -> bool:
        """Put another text in the place of what it says; whether it is another.

        :raises FileProblem: it cannot be written.
        """
        with self._locked():
            before = self.text()
            after = changed(before)
            if after != before:
                self._replace(after)
            return after != before

    def change(self, changed: Callable[[str], list[str]]) -> None:
        """Put other lines in the place of each.

        :param changed: the lines that come for one.
        :raises FileProblem: it cannot be written.
        """
        with self._locked():
            lines = [each for line in _lines(self.text()) for each in changed(line)]
            self._replace("".join(f"{line}\n" for line in lines))

    def _replace(self, text: str) -> None:
        new = f"{self.path}.new"
        try:
            if os.path.lexists(new):
                os.unlink(new)
            write_new(new, text.encode(), PRIVATE)
            if os.path.exists(self.path):
                _pass_on(os.stat(self.path), new)
            os.replace(new, self.path)
        except OSError as problem:
            raise FileProblem(f"{self.path} cannot be written: {problem.strerror}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else of us writes meanwhile."""
        directory = os.path.dirname(self.path) or "."
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as problem:
            raise FileProblem(f"{directory} cannot be used: {problem.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _pass_on(before: os.stat_result, path: str) -> None:
    """Let those read *path* who could read what it takes the place of.

    Otherwise a daemon that reads root's file by its group could not any more, and whom root has
    removed would stay.
    """
    try:
        os.chown(path, before.st_uid, before.st_gid)
    except PermissionError:
        return  # it stays ours alone
    os.chmod(path, stat.S_IMODE(before.st_mode))


def _lines(text: str) -> list[str]:
    """The lines as the daemon reads them: other characters at which Python would break a text end
    no line there, and what stands behind them in a comment must not begin to count.
    """
    return text.removesuffix("\n").split("\n") if text else []


def is_line_of(line: str, name: str) -> bool:
    """Whether a line of ``authorized_keys`` is that of a principal, or of a key's fingerprint."""
    stripped = line.strip(" \t\r")
    if not stripped or stripped.startswith("#"):
        return False
    try:
        grant = read_line(stripped)
    except LineProblem:
        return False
    return name in (grant.principal, grant.key.fingerprint)


def is_revoked_by(text: str, fingerprint: str) -> bool:
    """Whether ``revoked_keys`` names that key already."""
    try:
        return fingerprint in read_revoked_keys(text)
    except LineProblem as problem:
        raise FileProblem(f"revoked_keys: {problem}") from None
