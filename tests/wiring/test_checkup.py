"""Looking files, keys, certificates and the clock over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.config import Config, load
from mcptwist.findings import Finding
from mcptwist.wiring import checkup
from mcptwist.wiring.checkup import (
    look_at_certificates,
    look_at_configuration,
    look_at_keys,
    look_at_machine,
    look_at_own_files,
    look_at_state,
)
from tests.auth.people import key
from tests.protocols.tlsfront import NOW as MADE
from tests.protocols.tlsfront import make_pair

NOW = 1_800_000_000.0


class CheckupCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp()).resolve()
        self.own = self.home / "mcptwist"
        self.own.mkdir(parents=True, mode=0o700)
        self.environ = {"XDG_CONFIG_HOME": str(self.home), "XDG_STATE_HOME": str(self.home)}

    def config(self, text: str) -> Config:
        loaded = load(text, "x.toml", self.environ)
        assert loaded.config is not None, loaded.mistakes
        return loaded.config

    def levels(self, found: Iterable[Finding]) -> list[str]:
        return [each.level for each in found]

    def assert_found(self, found: Iterable[Finding], level: str, word: str) -> None:
        """Something of that level says that word, and what to do, unless all is well."""
        fitting = [each for each in found if each.level == level and word in each.text]
        self.assertTrue(fitting, (word, list(found)))
        self.assertEqual(bool(fitting[0].advice), level != "ok")


class ConfigurationTests(CheckupCase):
    def test_mistakes(self) -> None:
        loaded = load('[mcpServers.a]\ncommand = 3\n[mcpServers.b]\ncommand = "b"', "x.toml", {})
        self.assert_found(look_at_configuration(loaded), "fail", "mcpServers.a.command")
        good = load('[mcpServers.b]\ncommand = "b"', "x.toml", {})
        self.assert_found(look_at_configuration(good), "ok", "servers: 1")

    def test_notes(self) -> None:
        """Some only say what is so."""
        server = '[auth]\n[mcpServers.b]\ncommand = "b"'
        for text, level in (('listen = "tcp:80"', "ok"), ("limits.keepalive = 40", "warn")):
            found = look_at_configuration(load(f"{text}\n{server}", "x.toml", {}))
            self.assertEqual(self.levels(found), ["ok", level])


class KeyTests(CheckupCase):
    AUTH = '[auth]\n[mcpServers.b]\ncommand = "b"'

    def look(self, text: str = AUTH) -> list[Finding]:
        return list(look_at_keys(self.config(text), self.environ, NOW))

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        (self.own / name).write_text(text)
        (self.own / name).chmod(mode)

    def test_none_wanted(self) -> None:
        server = '[mcpServers.b]\ncommand = "b"'
        self.assertEqual(self.levels(self.look(f"auth = false\n{server}")), ["ok"])
        self.assertEqual(self.levels(self.look(f'listen = "unix:/run/x"\n{server}')), ["ok"])
        self.assert_found(self.look(server), "warn", "twistd mcpd")

    def test_audit_log(self) -> None:
        """The daemon does not start where it cannot be written."""
        self.write("audit.jsonl", "")
        for path, level in ((self.own / "audit.jsonl", "ok"), (self.own / "no" / "log", "fail")):
            text = f'[auth]\naudit_log = "{path}"\n[mcpServers.b]\ncommand = "b"'
            self.assert_found(self.look(text), level, str(path))

    def test_none_there(self) -> None:
        self.assert_found(self.look(), "fail", "authorized_keys")
        self.write("authorized_keys", "")
        self.assert_found(self.look(), "fail", "lets nobody in")

    def test_lines(self) -> None:
        """Those that give nothing, have ended, or are about to."""
        soon = time.strftime("%Y%m%d", time.gmtime(NOW + 5 * 86400))
        self.write(
            "authorized_keys",
            f"{key().public.words()} alice\n"
            f'expiry-time="{soon}Z" {key("b").public.words()} bob\n'
            f'expiry-time="20200101" {key("c").public.words()} carol\n'
            "nonsense\n",
        )
        found = self.look()
        self.assert_found(found, "ok", "lets 2 in")
        self.assert_found(found, "fail", "line 4 gives nothing")
        self.assert_found(found, "warn", "bob ends in")
        self.assert_found(found, "warn", "carol ended")

    def test_must_sign(self) -> None:
        """Keys that can come in nowhere as it is."""
        self.write("authorized_keys", f"require-signature {key().public.words()} alice\n")
        self.assert_found(self.look(), "fail", "alice must sign")
        signed = self.AUTH.replace("[auth]", "[auth]\nhttp_signatures = true")
        self.assertEqual(self.levels(self.look(signed)), ["ok"])

    def test_modes(self) -> None:
        self.write("authorized_keys", f"{key().public.words()} alice\n", 0o666)
        self.assert_found(self.look(), "fail", "chmod go-w")

    def test_stores(self) -> None:
        """Files that others may read, and no complaint of those that are not there yet."""
        self.write("authorized_keys", f"{key().public.words()} alice\n")
        path = self.own / "logins.sqlite3"
        stored = self.AUTH.replace("[auth]", f"[auth]\n[auth.people]\nstore = '{path}'")
        self.assert_found(self.look(stored), "ok", "logins.sqlite3")
        self.write("logins.sqlite3", "", 0o640)
        self.assert_found(self.look(stored), "fail", "logins.sqlite3")
        path.chmod(0o600)
        self.own.chmod(0o770)
        used = self.AUTH.replace("[auth]", f"[auth]\nreplay_store = '{path}'")
        self.assert_found(self.look(used), "fail", "can be written by others")

    def test_revoked(self) -> None:
        self.write("authorized_keys", f"{key().public.words()} alice\n")
        self.write("revoked_keys", "nonsense")
        self.assert_found(self.look(), "fail", "revoked_keys")
        self.write("revoked_keys", key().public.fingerprint)
        self.assert_found(self.look(), "ok", "1 revoked")
        self.assert_found(self.look(), "fail", "lets nobody in")

    def test_own_files(self) -> None:
        self.write("id_ed25519", "x", 0o644)
        self.write("known_hosts", "x", 0o644)
        self.write("grants.json", "{}", 0o640)
        found = list(look_at_own_files(self.environ))
        self.assert_found(found, "fail", "id_ed25519")
        self.assert_found(found, "ok", "known_hosts")
        self.assert_found(found, "fail", "grants.json")


class CertificateTests(CheckupCase):
    def look(self, days: float, now: float = MADE) -> list[Finding]:
        files = make_pair(self.home, "x", days=days)
        text = 'listen = ["https:0:interface=127.0.0.1"]\n[tls]\n'
        text += f'certificate = "{files.certificate}"\nkey = "{files.key}"'
        return list(look_at_certificates(self.config(text), self.environ, now))

    def test_ends(self) -> None:
        self.assert_found(self.look(90), "ok", "its key is SHA256:")
        self.assert_found(self.look(5), "warn", "ends in 5 days")
        self.assert_found(self.look(-5), "fail", "ended 5 days ago")

    def test_unusable(self) -> None:
        make_pair(self.home, "y")
        text = 'listen = ["https:0:interface=127.0.0.1"]\n[tls]\n'
        text += f'certificate = "{self.home}/y.pem"\nkey = "{self.home}/none.key"'
        found = list(look_at_certificates(self.config(text), self.environ, MADE))
        self.assert_found(found, "fail", "cannot be read")

    def test_made_by_the_daemon(self) -> None:
        """There is none yet; or others can read its key."""
        config = self.config('listen = ["https:0:interface=127.0.0.1"]')
        self.assert_found(look_at_certificates(config, self.environ, MADE), "ok", "is made")
        make_pair(self.own, "host")
        (self.own / "host.pem").rename(self.own / "host_cert.pem")
        (self.own / "host.key").rename(self.own / "host_key.pem")
        (self.own / "host_key.pem").chmod(0o644)
        found = list(look_at_certificates(config, self.environ, MADE))
        self.assert_found(found, "fail", "can be read by others")

    def test_not_encrypted(self) -> None:
        config = self.config('listen = ["tcp:0:interface=127.0.0.1"]')
        self.assertEqual(list(look_at_certificates(config, self.environ, MADE)), [])


class MachineTests(CheckupCase):
    def test_clock(self) -> None:
        self.assertEqual(self.levels(look_at_machine(time.time())), ["ok", "ok"])
        self.assert_found(look_at_machine(0.0), "fail", "before this program was installed")


class StateTests(CheckupCase):
    def test_full(self) -> None:
        disk = os.statvfs(self.home)
        nearly = [*disk]
        nearly[4] = (3 << 20) // disk.f_frsize  # f_bavail
        self.patch(os, "statvfs", lambda _: os.statvfs_result(nearly))
        self.assert_found(look_at_state(self.environ), "fail", "3072 KiB left")

    def test_writable(self) -> None:
        """There, or to be made."""
        for directory in (self.home, self.home / "to" / "be" / "made"):
            found = list(look_at_state({"XDG_STATE_HOME": str(directory)}))
            self.assertEqual(self.levels(found), ["ok"])
            self.assert_found(found, "ok", str(directory))

    def test_not_writable(self) -> None:
        """What will be missing is said, and what to do; a file in its place is no directory."""
        (self.home / "file").write_text("")
        found = list(look_at_state({"XDG_STATE_HOME": str(self.home / "file")}))
        self.assert_found(found, "warn", "cannot be written to")
        self.patch(checkup.os, "access", lambda path, mode: False)
        self.assert_found(look_at_state(self.environ), "warn", str(self.own))
