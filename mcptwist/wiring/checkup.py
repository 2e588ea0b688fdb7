"""Looking a daemon's premises over before it starts: its files, keys, certificates and clock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from mcptwist.auth.asking.identity import OWN
from mcptwist.auth.asking.wallet import FILE as GRANTS
from mcptwist.auth.audit import file_problem
from mcptwist.auth.authorizedkeys import LineProblem, read_authorized_keys, read_revoked_keys
from mcptwist.auth.keyfiles import FileProblem, check_mode, read_strictly
from mcptwist.auth.keystore import key_of_certificate
from mcptwist.auth.oauth.statefile import check_file
from mcptwist.config import Config, Loaded
from mcptwist.configuration.gateconfig import Auth, config_directory
from mcptwist.configuration.listening import encrypted, is_local, is_socket
from mcptwist.findings import Finding, fail, ok, warn
from mcptwist.protocols.hostcertificate import state_directory
from mcptwist.protocols.tls import CertificateFiles, CertificateProblem
from mcptwist.protocols.websocket import check_speed

_SOON = 14.0
"""Days before its end that something is worth a warning."""
_DAY = 86400.0
_LITTLE_ROOM = 8 << 20
"""Bytes on a disk below which it is as good as full."""


def look_at_configuration(loaded: Loaded) -> Iterator[Finding]:
    """Every mistake, and every note."""
    for mistake in loaded.mistakes:
        yield fail("configuration", str(mistake), f"correct it in {loaded.name}")
    if loaded.config is None:
        return
    if not loaded.mistakes:
        count = len(loaded.config.servers)
        yield ok("configuration", f"{loaded.name} is good; servers: {count}")
    for note in loaded.config.notes:
        if note.is_doubtful:
            yield warn("configuration", str(note), "see whether that is meant")
        else:
            yield ok("configuration", str(note))


def look_at_keys(config: Config, environ: Mapping[str, str], now: float) -> Iterator[Finding]:
    """Who is let in."""
    if config.auth is None:
        yield _without_keys(config)
        return
    yield from _audit(config.auth)
    _, path = config.auth.paths(environ)
    revoked: frozenset[str] = frozenset()
    if os.path.lexists(path):
        try:
            revoked = read_revoked_keys(read_strictly(path))
            yield ok("keys", f"{path}: {len(revoked)} revoked")
        except (FileProblem, LineProblem) as problem:
            advice = "correct it; until then no change of the keys is taken"
            yield fail("keys", f"{path}: {problem}", advice)
    yield from _authorized(config.auth, environ, now, revoked)


def _without_keys(config: Config) -> Finding:
    entries = config.endpoints.values()
    if not all(is_local(entry) for entry in entries):
        advice = "say who may come in (auth), or listen on interface=127.0.0.1"
        return fail("keys", "open to the network, and none are wanted", advice)
    if config.keyless or all(map(is_socket, entries)):
        return ok("keys", "none are wanted; whoever is on this machine may call")
    advice = "say auth = false if that is meant, or make an [auth] section"
    text = "nothing is said of them: mcptwist run starts, twistd mcpd not without --without-keys"
    return warn("keys", text, advice)


def _audit(auth: Auth) -> Iterator[Finding]:
    if auth.audit_log is None:
        return
    problem = file_problem(auth.audit_log)
    if problem:
        yield fail("audit log", problem, "do that, or name another with audit_log")
    else:
        yield ok("audit log", f"{auth.audit_log} can be written")
        yield from _room("audit log", os.path.dirname(auth.audit_log) or ".")


def _authorized(
    auth: Auth, environ: Mapping[str, str], now: float, revoked: frozenset[str]
) -> Iterator[Finding]:
    path, _ = auth.paths(environ)
    try:
        found = read_authorized_keys(read_strictly(path), auth.limits.keys_per_principal)
    except FileProblem as problem:
        exists = os.path.lexists(path)
        advice = "correct its owner and mode" if exists else "mcptwist authorize add FILE.pub"
        yield fail("keys", str(problem), advice)
        return
    for line in found.refused:
        text = f"{path} line {line.number} gives nothing to anyone: it {line.reason}"
        yield fail("keys", text, "correct the line, or remove it")
    there = [each for each in found.grants.values() if each.key.fingerprint not in revoked]
    good = [grant for grant in there if grant.is_good(now)]
    if not good:
        yield fail("keys", f"{path} lets nobody in", "mcptwist authorize add FILE.pub")
    else:
        yield ok("keys", f"{path} lets {len(good)} in")
    signers = [grant.principal for grant in good if grant.require_signature]
    if signers and not auth.http_signatures:
        text = f"{signers[0]} must sign its requests (require-signature), which is not taken here"
        yield fail("keys", text, "set http_signatures = true in [auth], or change the line")
    yield from _stores(auth)
    for grant in there:
        left = ((grant.expires or now + 1e9) - now) / _DAY
        if left < _SOON:
            text = f"the key of {grant.principal} {_ends(left)} ({grant.key.fingerprint})"
            yield warn("keys", text, "mcptwist authorize rotate, or rm")


def _stores(auth: Auth) -> Iterator[Finding]:
    """The files in which something is remembered beyond a restart."""
    for path in (auth.replay_store, auth.people.store if auth.people else None):
        if path is None:
            continue
        try:
            check_file(path)
            yield ok("keys", f"{path} is for nobody else")
        except (FileProblem, OSError) as problem:
            yield fail("keys", str(problem), "correct its owner and its mode, or name another")


def look_at_own_files(environ: Mapping[str, str]) -> Iterator[Finding]:
    """The files by which we know others, and are known."""
    directory = config_directory(environ)
    for name in (*OWN, GRANTS, "known_hosts"):
        path = os.path.join(directory, name)
        if not os.path.lexists(path):
            continue
        try:
            read_strictly(path, secret=name != "known_hosts")
            yield ok("own files", f"{path} is for nobody else")
        except FileProblem as problem:
            yield fail("own files", str(problem), "correct its owner and its mode")


def look_at_state(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether there is room for what the daemon keeps: its socket, remembered lists, its key."""
    directory = state_directory(environ).absolute()
    there = next(each for each in (directory, *directory.parents) if os.path.exists(each))
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        yield ok("state", f"{directory} is for the daemon to write to")
        yield from _room("state", str(there))
        return
    text = f"{there} cannot be written to: no socket to administer the daemon by, no lists kept"
    yield warn("state", text, "let it write there, or name another with XDG_STATE_HOME")


def _room(about: str, directory: str) -> Iterator[Finding]:
    """Whether the disk is full, or nearly."""
    disk = os.statvfs(directory)
    left = disk.f_bavail * disk.f_frsize
    if left < _LITTLE_ROOM:
        text = f"the disk of {directory} has {left >> 10} KiB left"
        yield fail(about, text, "make room there; what cannot be written is lost, or refused")


def look_at_certificates(
    config: Config, environ: Mapping[str, str], now: float
) -> Iterator[Finding]:
    """What clients are shown over TLS."""
    if not any(encrypted(entry)[0] for entry in config.endpoints.values()):
        return
    tls = config.tls
    if tls.certificate is not None and tls.key is not None:
        pairs = [(tls.certificate, tls.key), *((o.certificate, o.key) for o in tls.others)]
        for pair in pairs:
            yield from _certificate(CertificateFiles(*pair), now, own=False)
        return
    directory = Path(tls.directory) if tls.directory else state_directory(environ)
    files = CertificateFiles(str(directory / "host_cert.pem"), str(directory / "host_key.pem"))
    if not os.path.exists(files.certificate):
        yield ok("certificate", f"one is made in {directory} when the daemon starts")
        return
    try:
        check_mode(files.key, os.stat(files.key), secret=True)
    except (FileProblem, OSError) as problem:
        yield fail("certificate", str(problem), f"chmod 600 {files.key}")
    yield from _certificate(files, now, own=True)


def _certificate(files: CertificateFiles, now: float, own: bool) -> Iterator[Finding]:
    try:
        chain, _ = files.read()
    except CertificateProblem as problem:
        yield fail("certificate", str(problem), "correct tls.certificate and tls.key")
        return
    end = chain[0].not_valid_after_utc
    left = (end - datetime.fromtimestamp(now, UTC)).total_seconds() / _DAY
    key = key_of_certificate(files.certificate)
    shown = f"; its key is {key.fingerprint}" if key else ""
    if left < _SOON and not own:
        level = fail if left < 0 else warn
        yield level("certificate", f"{files.certificate} {_ends(left)}", "renew it")
    else:
        yield ok("certificate", f"{files.certificate} is good until {end:%Y-%m-%d}{shown}")


def _ends(left: float) -> str:
    return f"ends in {left:.0f} days" if left > 0 else f"ended {-left:.0f} days ago"


def look_at_machine(now: float) -> Iterator[Finding]:
    """The clock, and the compiled parts."""
    newest = max(each.stat().st_mtime for each in Path(__file__).parent.glob("*.py"))
    if now < newest - _DAY:
        told = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
        advice = "set it (timedatectl set-ntp true): tokens, proofs and certificates need it"
        yield fail("clock", f"it is {told}, before this program was installed", advice)
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now)))
    try:
        check_speed()
        yield ok("WebSocket", "Autobahn's compiled parts (NVX) are used")
    except RuntimeError as problem:
        yield fail("WebSocket", str(problem), "do that; WebSockets are not served without")
