"""The certificate a daemon makes for itself where it is given none.

It is a P-256 key, made once, and a certificate that the key signs itself, made anew before it
ends. Nobody vouches for it: clients trust it as it is, by its fingerprint or as their own
authority (see ``docs/tls.rst``). Nobody else may read or change the key: as sshd does, we look.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mcptwist.protocols.tls import CertificateFiles, CertificateProblem

__all__ = ["host_certificate", "own_names", "state_directory"]

#: How long a certificate is good, and when before its end the next one is made. No browser takes
#: one that is good for longer.
VALID = timedelta(days=398)
RENEWED = timedelta(days=30)


def state_directory(environ: Mapping[str, str]) -> Path:
    """Where the daemon keeps what it makes: systemd's StateDirectory, or that of the person."""
    systemd = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if systemd:
        return Path(systemd)
    base = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME", "/"), ".local/state")
    return Path(base) / "mcptwist"


def own_names(hosts: Iterable[str]) -> list[str]:
    """What this machine is called: by itself, and by those who configured these hosts.

    :param hosts: names or addresses, with a port or without.
    """
    named = [re.sub(r":\d+\Z", "", host) for host in hosts]
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname(), *named]))


def host_certificate(directory: Path, names: Iterable[str], now: float) -> CertificateFiles:
    """The files of the host's own certificate; they are made where there are none.

    :param directory: made with access for us alone, if need be.
    :param names: host names and addresses it is to be good for.
    :param now: seconds since the epoch.
    :raises CertificateProblem: others can get at the directory or the key, or it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_alone(directory, 0o022)
        files = CertificateFiles(str(directory / "host_cert.pem"), str(directory / "host_key.pem"))
        key = _host_key(Path(files.key))
        if _needs_renewal(files, names, datetime.fromtimestamp(now, UTC)):
            made = self_signed(key, list(names), datetime.fromtimestamp(now, UTC))
            write_whole(Path(files.certificate), made.public_bytes(Encoding.PEM))
    except OSError as why:
        raise CertificateProblem(
            f"no certificate can be made in {directory}: {why.strerror}; give tls.certificate and"
            " tls.key, or another tls.directory"
        ) from None
    return files


def check_alone(path: Path, forbidden: int) -> None:
    """Refuse what belongs to others, or lets others do what is forbidden to them.

    :raises CertificateProblem: it is so.
    """
    about = path.stat(follow_symlinks=False)
    if stat.S_ISLNK(about.st_mode) or about.st_uid not in (os.geteuid(), 0):
        raise CertificateProblem(f"{path} does not belong to the daemon's user")
    if stat.S_IMODE(about.st_mode) & forbidden:
        wanted = "700" if stat.S_ISDIR(about.st_mode) else "600"
        raise CertificateProblem(f"others can get at {path}: chmod {wanted} it")


def _host_key(path: Path) -> Any:
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    check_alone(path, 0o077)
    try:
        return load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        raise CertificateProblem(
            f"{path} is not an unencrypted PEM key; remove it to have a new one made"
        ) from None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file for us alone, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    draft.rename(path)


def _needs_renewal(files: CertificateFiles, names: Iterable[str], now: datetime) -> bool:
    """Whether there is no certificate, or none for this key and these names and long enough."""
    if not os.path.exists(files.certificate):
        return True
    try:
        chain, _ = files.read()
    except CertificateProblem:
        return True
    certificate = chain[0]
    if certificate.not_valid_after_utc - now < RENEWED:
        return True
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(extension.value) != set(_subject_names(names))


def _subject_names(names: Iterable[str]) -> list[x509.GeneralName]:
    return list(dict.fromkeys(map(_subject_name, names)))


def _subject_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def self_signed(key: Any, names: list[str], now: datetime) -> x509.Certificate:
    """A certificate that *key* signs itself, good from an hour before *now* on."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mcptwist {names[0]}"[:64])])
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        # Clocks of clients may be late.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID - timedelta(hours=1))
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    for extension, critical in (
        (x509.SubjectAlternativeName(_subject_names(names)), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_for_signing(), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (identifier, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256())


def _for_signing() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
