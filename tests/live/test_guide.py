"""The guide to keys, typed to the letter: from a second machine to a lost laptop."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from mcptwist.configuration.withoutfile import BUILTIN_SERVER
from tests.debian import SSH_ADD, SSH_AGENT
from tests.live.dialogue import held
from tests.live.test_keys import KeyCase
from tests.patience import SECONDS

SUM = ("calculate", '{"expression": "6*7"}')
PASSPHRASE = "sesame"


class GuideTests(KeyCase):
    """Two machines: one with the daemon, and a laptop. Each has a home of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.laptop = self.home / "laptop"
        self.laptop.mkdir(mode=0o700)
        there = str(self.laptop)
        self.away = {**self.environ, "HOME": there, "XDG_CONFIG_HOME": there}
        self.away.pop("SSH_AUTH_SOCK", None)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.place = f"https://localhost:{self.port}/mcp"

    def type(self, *words: str, answers: tuple[tuple[str, str], ...] = ()) -> tuple[int, str]:
        """Type a command at the laptop's terminal."""
        argv = [sys.executable, "-m", "mcptwist", *words]
        return held(argv, self.away, answers, cwd=self.laptop)

    def typed(self, *words: str, answers: tuple[tuple[str, str], ...] = ()) -> str:
        status, said = self.type(*words, answers=answers)
        self.assertEqual(status, 0, said)
        return said

    def start_agent(self) -> None:
        """An ssh-agent on the laptop, which is given the key."""
        place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, place)
        self.away["SSH_AUTH_SOCK"] = str(place / "agent")
        argv = [SSH_AGENT.path, "-D", "-a", self.away["SSH_AUTH_SOCK"]]
        agent = subprocess.Popen(argv, stdout=subprocess.PIPE)
        self.addCleanup(agent.communicate, timeout=SECONDS)
        self.addCleanup(agent.terminate)
        assert agent.stdout
        agent.stdout.readline()
        key = str(self.laptop / "mcptwist" / "id_ed25519")
        status, said = held([SSH_ADD.path, key], self.away, [(f"{key}:", PASSPHRASE)])
        self.assertEqual(status, 0, said)

    def carry(self, path: Path) -> str:
        """Bring a public key from the laptop to the daemon's machine."""
        return shutil.copy(path, self.home / path.name)

    def test_from_a_second_machine_to_a_lost_laptop(self) -> None:
        for program in (SSH_AGENT, SSH_ADD):
            program.needed()
        answers = (("(empty for none):", PASSPHRASE), ("same again:", PASSPHRASE))
        self.assertIn("SHA256:", self.typed("keygen", "-C", "alice@laptop", answers=answers))
        public = self.carry(self.laptop / "mcptwist" / "id_ed25519.pub")
        out = self.done("authorize", "add", "--scope", "mcp:read mcp:call", public)
        self.assertTrue(out.startswith("alice SHA256:"), out)
        self.start_daemon()
        self.meet()
        self.come_with_an_agent()
        self.replace_the_key()
        self.lose_the_laptop()

    def start_daemon(self) -> None:
        path = self.home / "mcp.toml"
        path.write_text(
            f'listen = ["https:{self.port}:interface=127.0.0.1"]\n[auth]\n'
            f'public_urls = ["https://localhost:{self.port}"]\naudit_log = "audit.jsonl"\n'
            f'[mcpServers.toolbox]\npython = "{BUILTIN_SERVER}"\n'
        )
        self.config = lambda *_: str(path)  # type: ignore[method-assign]
        self.start("")

    def meet(self) -> None:
        """The host is asked about once, the passphrase each time."""
        key = self.laptop / "mcptwist" / "id_ed25519"
        passphrase = (f"key '{key}':", PASSPHRASE)
        yes = ("[fingerprint])?", "yes")
        said = self.typed("call", self.place, *SUM, answers=(yes, passphrase))
        shown = self.mcptwist("keyscan", f"localhost:{self.port}").stderr.split()[0]
        self.assertIn(shown, said)
        self.assertIn("42", said)
        self.assertIn("42", self.typed("call", self.place, *SUM, answers=(passphrase,)))

    def come_with_an_agent(self) -> None:
        self.start_agent()
        self.assertIn("42", self.typed("call", self.place, *SUM))
        self.assertIn("calculate", self.typed("list", self.place))
        self.assertIn("Bearer mcp_at_", self.typed("token", self.place))
        websocket = self.place.replace("https", "wss").replace("/mcp", "/ws")
        self.assertIn("42", self.typed("call", websocket, *SUM))

    def replace_the_key(self) -> None:
        self.typed("keygen", "-N", "", "-f", "new", "-C", "alice@laptop2")
        public = self.carry(self.laptop / "new.pub")
        self.assertIn("is good until", self.done("authorize", "rotate", "alice", public))
        self.assertEqual(len(self.done("authorize", "list").splitlines()), 2)
        for words in ((), ("-i", "new")):
            self.assertIn("42", self.typed("call", *words, self.place, *SUM))

    def lose_the_laptop(self) -> None:
        self.assertEqual(len(self.done("revoke", "alice").splitlines()), 2)
        status, said = self.type("call", "-i", "new", self.place, *SUM)
        while status == 0:  # within a second, says the guide
            status, said = self.type("call", "-i", "new", self.place, *SUM)
        self.assertIn("invalid_client", said)
        self.assertNotIn("mcp_at_", (self.home / "audit.jsonl").read_text())
