"""Real daemons with certificates of their own making, and who believes them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from mcptwist.auth.asking.knownhosts import line_of, read_host
from tests.auth.people import P256, key
from tests.debian import SSH_KEYGEN
from tests.live.dialogue import held
from tests.live.test_keys import KeyCase
from tests.patience import SECONDS

LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}


class PinCase(KeyCase):
    """A daemon on this machine that speaks TLS, and wants no keys.

    :ivar host: its host and port.
    """

    def setUp(self) -> None:
        super().setUp()
        self.url = self.start("https:0:interface=127.0.0.1")
        self.host = self.url.removeprefix("https://")
        self.known = self.home / "mcptwist" / "known_hosts"

    def fingerprint(self) -> str:
        return self.mcptwist("keyscan", self.host).stderr.split()[0]

    def learn(self) -> None:
        self.known.parent.mkdir(mode=0o700, exist_ok=True)
        self.known.write_text(self.mcptwist("keyscan", self.host).stdout)

    def mistake(self) -> None:
        """Know it by another key."""
        host, _, port = self.host.rpartition(":")
        self.known.parent.mkdir(mode=0o700, exist_ok=True)
        self.known.write_text(line_of(host, int(port), key("x", P256).public) + "\n")

    def assert_refused(self, *words: str, because: str) -> None:
        ended = self.mcptwist(*words)
        self.assertEqual((ended.returncode, ended.stdout), (3, ""), ended)
        self.assertIn(because, ended.stderr)


class CommandTests(PinCase):
    def test_list_and_call(self) -> None:
        """Nobody is spoken to whom nobody vouches for; known, given or accepted, they are."""
        place = f"{self.url}/mcp"
        call = ("call", place, "calculate", '{"expression": "2+3"}')
        for words in (("list", place), call, ("list", "--url", self.url)):
            self.assert_refused(*words, because="keyscan")
        self.assertFalse(self.known.exists())
        self.assertIn("add", self.done("list", "--host-key", self.fingerprint(), place))
        other = key("x", P256).public.fingerprint
        self.assert_refused("list", "--host-key", other, place, because="VERIFICATION FAILED")
        self.done("list", "--accept-new", place)
        self.assertIn("5", self.done(*call))
        self.assertIn("toolbox", self.done("list", "--url", self.url))

    def test_changed(self) -> None:
        """Not even with --accept-new; keygen -R has it forgotten."""
        self.mistake()
        for words in (("list",), ("list", "--accept-new")):
            self.assert_refused(*words, f"{self.url}/mcp", because="HAS CHANGED")
        self.assertIn("1 keys", self.done("keygen", "-R", self.host))
        self.done("list", "--accept-new", f"{self.url}/mcp")

    def test_known_hosts_elsewhere(self) -> None:
        other = self.home / "others"
        self.done("list", "--accept-new", "--known-hosts", str(other), f"{self.url}/mcp")
        self.assertFalse(self.known.exists())
        self.assertIn(self.host.rpartition(":")[2], other.read_text())
        argv = [SSH_KEYGEN.needed(), "-l", "-f", str(other)]
        shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        self.assertIn(self.fingerprint(), shown)

    def test_websocket(self) -> None:
        place = self.url.replace("https", "wss") + "/ws"
        self.assert_refused("list", place, because="keyscan")
        self.learn()
        self.assertIn("add", self.done("list", place))
        self.mistake()
        self.assert_refused("list", place, because="HAS CHANGED")

    def test_asked(self) -> None:
        """On a terminal, as ssh asks."""
        for answer, status in (("no", 3), ("yes", 0)):
            ended, said = self.at_terminal(answer, "list", f"{self.url}/mcp")
            self.assertEqual(ended, status, said)
            self.assertIn(self.fingerprint(), said)
        self.assertIn("Permanently added", said)
        self.assertIn("add", self.done("list", f"{self.url}/mcp"))

    def at_terminal(self, answer: str, *words: str) -> tuple[int, str]:
        """The exit status, and what was shown to a person who types that answer."""
        argv = [sys.executable, "-m", "mcptwist", *words]
        return held(argv, self.environ, [("[fingerprint])?", answer)])


class RotationTests(PinCase):
    def test_learnt(self) -> None:
        """Whoever knows the present key learns the next one by coming as ever."""
        self.done("list", "--accept-new", f"{self.url}/mcp")
        following = self.done("hostkey", "rotate", "--in", "1h").split()[0]
        until = time.monotonic() + SECONDS
        while following not in self.known_fingerprints():
            self.assertLess(time.monotonic(), until)
            self.done("list", f"{self.url}/mcp")
        self.assertEqual(len(self.known_fingerprints()), 2)

    def known_fingerprints(self) -> list[str]:
        lines = self.known.read_text().splitlines()
        found = (read_host(line) for line in lines)
        return [each.key.fingerprint for each in found if each is not None]


class ConnectTests(PinCase):
    def connect(self, *words: str, ends: bool = False) -> dict[str, Any]:
        """What `mcptwist connect` answers to a client's first words.

        :param ends: whether it must end by itself then, with 3 and the same words for its person.
        """
        argv = [sys.executable, "-m", "mcptwist", "connect", *words, f"{self.url}/mcp"]
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "x", "version": "1"},
            },
        }
        process = subprocess.Popen(
            argv,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(hello) + "\n")
        process.stdin.flush()
        found: dict[str, Any] = json.loads(process.stdout.readline())
        if ends:
            self.assertEqual(process.wait(SECONDS), 3)
        more, errors = process.communicate(timeout=SECONDS)
        if ends:
            self.assertEqual(more, "")
            self.assertEqual(errors.count("mcptwist: "), 1, errors)
            self.assertIn(errors.strip().removeprefix("mcptwist: "), found["error"]["message"])
        return found

    def test_connect(self) -> None:
        """The client is told why, and what to do; then the bridge ends, as ssh does."""
        said = self.connect(ends=True)
        self.assertIn("keyscan", said["error"]["message"])
        self.assertEqual(said["error"]["data"]["code"], "host-not-trusted")
        self.assertIn("result", self.connect("--host-key", self.fingerprint()))
        self.assertIn("result", self.connect("--accept-new"))
        self.assertIn("result", self.connect())
        self.mistake()
        self.assertIn("HAS CHANGED", self.connect(ends=True)["error"]["message"])


class BehindTests(PinCase):
    """A daemon behind a daemon."""

    def behind(self, **more: Any) -> str:
        """The URL of a daemon with the first one behind it."""
        value = {
            "listen": ["tcp:0:interface=127.0.0.1"],
            "mcpServers": {"far": {"url": f"{self.url}/mcp", **more}},
        }
        self.config = lambda *_: self._written(value)  # type: ignore[method-assign]
        return self.start("")

    def _written(self, value: Any) -> str:
        path = self.home / "front.json"
        path.write_text(json.dumps(value))
        return str(path)

    def test_pinned(self) -> None:
        url = self.behind(host_key=self.fingerprint())
        self.assertIn("add", self.done("list", "--url", url, "far"))

    def test_not_pinned(self) -> None:
        url = self.behind()
        ended = self.mcptwist("list", "--url", url, "far")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("keyscan", ended.stderr)
        self.learn()
        ended = self.mcptwist("list", "--url", url, "far")
        self.assertEqual(ended.returncode, 0, ended.stderr)

    def test_another_key(self) -> None:
        url = self.behind(host_key=key("x", P256).public.fingerprint, accept_new=True)
        ended = self.mcptwist("list", "--url", url, "far")
        self.assertIn("VERIFICATION FAILED", ended.stderr)
