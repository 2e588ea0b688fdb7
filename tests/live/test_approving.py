"""A device without a key, a person with one, and a real daemon between them."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from mcptwist.auth.oauth.registrations import DEVICE
from tests.debian import BASH, CURL, SSH_ADD, SSH_AGENT, SSH_KEYGEN
from tests.live.dialogue import held
from tests.live.test_keys import KeyCase
from tests.patience import SECONDS

FORM = "application/x-www-form-urlencoded"


class ApprovingTests(KeyCase):
    """The daemon speaks TLS with a certificate of its own making, as it does by default."""

    def setUp(self) -> None:
        super().setUp()
        # The path of a socket may not be long.
        self.sockets = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.sockets)
        self.environ["XDG_RUNTIME_DIR"] = str(self.sockets)
        self.own = self.home / "mcptwist"
        self.done("keygen", "-N", "", "-C", "alice@laptop")
        public = str(self.own / "id_ed25519.pub")
        self.done("authorize", "add", "--scope", "mcp:read mcp:call", public)
        self.audit = self.home / "audit.jsonl"
        auth = {"people": True, "audit_log": str(self.audit)}
        self.url = self.start("https:0:interface=127.0.0.1", auth)
        document = {"client_name": "TV", "grant_types": [DEVICE]}
        status, said = self.post("register", json.dumps(document), "application/json")
        self.assertEqual(status, 201, said)
        self.client = said["client_id"]
        self.addCleanup(self.assert_nothing_secret)

    # --- the device -----------------------------------------------------------------------

    def post(self, page: str, body: str, kind: str = FORM) -> tuple[int, Any]:
        """What a program gets that does not care whom it talks to."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(
            f"{self.url}/oauth/{page}", body.encode(), {"Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS, context=context) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def codes(self) -> tuple[str, str]:
        """What the device shows, and what it keeps to itself."""
        form = {"client_id": self.client, "resource": f"{self.url}/mcp"}
        status, said = self.post("device_authorization", urlencode(form))
        self.assertEqual(status, 200, said)
        return said["user_code"], said["device_code"]

    def outcome(self, secret: str) -> Any:
        form = {"grant_type": DEVICE, "device_code": secret, "client_id": self.client}
        return self.post("token", urlencode(form))[1]

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [each for each in lines if each["event"].startswith(name)]

    def assert_nothing_secret(self) -> None:
        said = self.audit.read_text()
        for secret in ("mcp_at_", "mcp_dc_", "BEGIN"):
            self.assertNotIn(secret, said)

    # --- the person -----------------------------------------------------------------------

    def test_from_a_code_to_a_token(self) -> None:
        """It is listed, nobody unknown is believed to be the daemon, and it is approved."""
        code, secret = self.codes()
        listed = self.done("approve")
        self.assertIn(f"{code}  TV (device)  {self.url}/mcp  mcp:read mcp:call", listed)
        ended = self.mcptwist("approve", code, "--yes")
        self.assertEqual((ended.returncode, ended.stdout), (3, ""), ended)
        self.assertEqual(self.events("auth.approval.given"), [])
        ended = self.mcptwist("approve", code, "--yes", "--accept-new", "--scope", "mcp:read")
        self.assertEqual(
            (ended.returncode, ended.stdout), (0, "approved: it may mcp:read as alice\n"), ended
        )
        self.assertIn("TV, as it calls itself", ended.stderr)
        said = self.outcome(secret)
        self.assertEqual(said["scope"], "mcp:read")
        self.environ["SSL_CERT_FILE"] = str(self.own / "host_cert.pem")
        headers = ("--header", f"Authorization: Bearer {said['access_token']}")
        self.assertIn("calculate", self.done("list", *headers, f"{self.url}/mcp"))
        (given,) = self.events("auth.approval.given")
        self.assertEqual((given["principal"], given["asked_from"]), ("alice", "127.0.0.1"))

    def test_at_a_terminal(self) -> None:
        """Everything is shown and asked there: the daemon's key, and whether to let it in."""
        code, secret = self.codes()
        argv = [sys.executable, "-m", "mcptwist", "approve", code.lower()]
        questions = [("(yes/no/[fingerprint])?", "yes"), ("(yes/no)?", "yes")]
        status, said = held(argv, self.environ, questions)
        self.assertEqual(status, 0, said)
        self.assertIn("Say yes only if you have just begun this yourself", said)
        self.assertIn("approved: it may mcp:read mcp:call as alice", said)
        self.assertIn("access_token", self.outcome(secret))
        code, secret = self.codes()
        argv[-1] = code
        status, said = held(argv, self.environ, [("(yes/no)?", "no")])
        self.assertEqual(status, 0, said)
        self.assertIn("denied, by alice", said)
        self.assertEqual(self.outcome(secret), {"error": "access_denied"})

    def test_not_asked(self) -> None:
        """Without a terminal and --yes nothing is done; --deny needs neither."""
        code, secret = self.codes()
        self.mcptwist("approve", code, "--accept-new")
        ended = self.mcptwist("approve", code)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn("there is no terminal to ask on", ended.stderr)
        self.assertEqual(self.events("auth.approval.given"), [])
        ended = self.mcptwist("approve", "--deny", code)
        self.assertEqual((ended.returncode, ended.stdout), (0, "denied, by alice\n"))
        self.assertEqual(self.outcome(secret), {"error": "access_denied"})
        ended = self.mcptwist("approve", "--yes", code)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("refuses", ended.stderr)

    def test_stranger(self) -> None:
        """A key that nobody let in approves nothing, and is told no more than that."""
        self.done("keygen", "-N", "", "-f", str(self.home / "other"))
        code, _ = self.codes()
        words = ("--accept-new", "--yes", "-i", str(self.home / "other"))
        ended = self.mcptwist("approve", code, *words)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn("that signature does not decide on it", ended.stderr)
        (refused,) = self.events("auth.approval.refused")
        self.assertEqual(refused["reason"], "the signature: the key is not known, or not good")

    def test_ssh_keygen(self) -> None:
        """What the page about the protocol says, done with OpenSSH alone."""
        code, secret = self.codes()
        text = f"approve {code} {self.url} {self.client} - {self.url}/mcp mcp:read mcp:call\n"
        argv = [SSH_KEYGEN.needed(), "-Y", "sign", "-n", "mcptwist-approve"]
        argv += ["-f", str(self.own / "id_ed25519")]
        made = subprocess.run(
            argv, input=text, capture_output=True, text=True, check=True, timeout=SECONDS
        )
        status, said = self.post("approve", urlencode({"code": code, "signature": made.stdout}))
        self.assertEqual((status, said["outcome"]), (200, "approved"), said)
        self.assertIn("access_token", self.outcome(secret))

    def test_ssh_agent(self) -> None:
        """The key is in an agent, and no file has it."""
        socket = str(self.sockets / "agent")
        agent = subprocess.Popen(
            [SSH_AGENT.needed(), "-D", "-a", socket], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.addCleanup(agent.communicate, timeout=SECONDS)
        self.addCleanup(agent.terminate)
        assert agent.stdout
        agent.stdout.readline()
        self.environ["SSH_AUTH_SOCK"] = socket
        private = self.own / "id_ed25519"
        subprocess.run(
            [SSH_ADD.needed(), "-q", str(private)],
            env=self.environ,
            capture_output=True,
            check=True,
        )
        private.unlink()
        code, secret = self.codes()
        ended = self.mcptwist("approve", code, "--accept-new", "--yes")
        self.assertEqual(ended.returncode, 0, ended)
        self.assertIn("access_token", self.outcome(secret))

    def test_last_used(self) -> None:
        """Where the daemon is not on this machine, it is found where it was last."""
        code, _ = self.codes()
        self.done_aside("approve", code, "--accept-new", "--yes", "--url", self.url)
        self.assertEqual(Path(self.own / "approved-at").read_text(), f"{self.url}\n")
        code, _ = self.codes()
        self.environ["XDG_RUNTIME_DIR"] = str(self.home / "elsewhere")
        self.done_aside("approve", code, "--yes")

    def done_aside(self, *words: str) -> None:
        """A command that says something beside what it prints."""
        ended = self.mcptwist(*words)
        self.assertEqual(ended.returncode, 0, ended)


class PageTests(KeyCase):
    """What the page says that a browser waits at, typed to the letter."""

    def test_with_openssh_alone(self) -> None:
        for program in (SSH_KEYGEN, CURL, BASH):
            program.needed()
        ssh = self.home / ".ssh"
        ssh.mkdir(mode=0o700)
        make = [SSH_KEYGEN.path, "-q", "-t", "ed25519", "-N", "", "-f", str(ssh / "id_ed25519")]
        subprocess.run(make, check=True, timeout=SECONDS)
        public = str(ssh / "id_ed25519.pub")
        self.done("authorize", "add", "--principal", "alice", "--scope", "mcp:read", public)
        url = self.start("tcp:0:interface=127.0.0.1", {"people": True})
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), _NotOnward())
        with browser.open(self.authorize(browser, url), timeout=SECONDS) as page:
            place, text = page.url, page.read().decode()
        command = next(
            each for each in map(unescape, re.findall("<pre>(.*?)</pre>", text, re.DOTALL))
            if "ssh-keygen" in each
        )  # fmt: skip
        typed = subprocess.run(
            [BASH.path, "-c", command],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.assertEqual(json.loads(typed.stdout)["outcome"], "approved", typed)
        with self.assertRaises(_SentOn) as sent, browser.open(f"{place}?held", timeout=SECONDS):
            pass
        self.assertRegex(str(sent.exception), r"\Ahttp://127\.0\.0\.1:1/back\?.*code=mcp_ac_")

    def authorize(self, browser: urllib.request.OpenerDirector, url: str) -> str:
        """Where a client sends a browser."""
        document = {"client_name": "Inspector", "redirect_uris": ["http://127.0.0.1/back"]}
        headers = {"Content-Type": "application/json"}
        register = urllib.request.Request(
            f"{url}/oauth/register", json.dumps(document).encode(), headers
        )
        with browser.open(register, timeout=SECONDS) as answer:
            client = json.load(answer)["client_id"]
        query = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": "http://127.0.0.1:1/back",
            "code_challenge": "A" * 43,
            "code_challenge_method": "S256",
            "state": "x",
            "resource": f"{url}/mcp",
        }
        return f"{url}/oauth/authorize?{urlencode(query)}"


class _SentOn(Exception):
    """The browser is sent to the client."""


class _NotOnward(urllib.request.HTTPRedirectHandler):
    """Follows the daemon, but not to the client: that does not listen."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if "/back" in newurl:
            raise _SentOn(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
