"""A daemon with TLS, asked by programs that others wrote: curl, h2load, and Node's HTTP/2."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from socket import create_connection
from urllib.request import urlopen

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from mcptwist.negotiation import modern_meta
from tests.debian import CURL, H2LOAD
from tests.interop.install import CLIENTS
from tests.interop.rig import Ending, node
from tests.live.test_commands import MCPTWIST, CommandCase
from tests.patience import SECONDS

CONFIG = """
[tls]
directory = "{place}/tls"

[mcpServers.box]
python = "mcptwist.serving.toolbox:toolbox"
"""

INITIALIZE = (
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    '"capabilities":{},"clientInfo":{"name":"live","version":"1"}}}'
)

# Forty calls at once on one connection, and an event stream beside them.
NODE = """
const http2 = require("http2"), fs = require("fs");
const [url, ca] = process.argv.slice(1);
const session = http2.connect(url, {ca: fs.readFileSync(ca)});
const failed = (error) => { console.log("failed", error.code || error); process.exit(1); };
session.on("error", failed);
const HEADERS = {":path": "/mcp", "content-type": "application/json",
                 accept: "application/json, text/event-stream"};
function ask(message, extra = {}) {
  return new Promise((resolve) => {
    const stream = session.request({":method": "POST", ...HEADERS, ...extra});
    let status, id, text = "";
    stream.setEncoding("utf8");
    stream.on("response", (headers) => {
      status = headers[":status"]; id = headers["mcp-session-id"];
    });
    stream.on("data", (data) => { text += data; });
    stream.on("end", () => resolve({status, id, text}));
    stream.on("error", failed);
    stream.end(JSON.stringify({jsonrpc: "2.0", ...message}));
  });
}
(async () => {
  const params = {protocolVersion: "2025-11-25", capabilities: {},
                  clientInfo: {name: "node", version: "1"}};
  const opened = await ask({id: 1, method: "initialize", params});
  const mine = {"mcp-session-id": opened.id, "mcp-protocol-version": "2025-11-25"};
  await ask({method: "notifications/initialized"}, mine);
  const listening = session.request({":method": "GET", ...HEADERS, ...mine,
                                     accept: "text/event-stream"});
  await new Promise((resolve) => listening.on("response", resolve));
  const calls = [...Array(40).keys()].map((number) => ask({id: 100 + number,
    method: "tools/call",
    params: {name: "calculate", arguments: {expression: `${number}*2`}}}, mine));
  const right = (await Promise.all(calls)).filter(({text}, number) =>
    text.includes(`"id":${100 + number}`) && text.includes(`"value":"${number * 2}"`));
  console.log("right", right.length, session.alpnProtocol);
  listening.close();
  session.close();
})();
"""

CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "calculate",
        "arguments": {"expression": "6*7"},
        "_meta": modern_meta({"name": "live", "version": "1"}),
    },
}

#: What a modern call bears in its head.
HEADERS = [
    "--header=content-type: application/json",
    "--header=accept: application/json, text/event-stream",
    "--header=mcp-protocol-version: 2026-07-28",
    "--header=mcp-method: tools/call",
    "--header=mcp-name: calculate",
]

# Twenty calls at once, with what every web page has.
FETCH = """
const [url, body] = process.argv.slice(1);
const headers = {"content-type": "application/json",
                 accept: "application/json, text/event-stream",
                 "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call",
                 "mcp-name": "calculate"};
const asked = [...Array(20)].map(() => fetch(url, {method: "POST", headers, body}));
for (const answer of await Promise.all(asked)) {
  console.log(answer.status, (await answer.json()).result.structuredContent.value);
}
"""


class SecureTests(CommandCase):
    async def serve(self, *options: str, more: str = "") -> str:
        """Start a daemon with a certificate that it makes itself; its base URL.

        :param more: lines for the top of its configuration.
        """
        config = self.place / "config.toml"
        config.write_text(more + CONFIG.format(place=self.place))
        listen = ("--listen", "https:0:interface=127.0.0.1")
        program = self.start([MCPTWIST, "run", "--config", str(config), *listen, *options])
        heard = await program.when_said(r"(https://127\.0\.0\.1:\d+)/mcp[\s\S]+Press", SECONDS)
        self.served = program
        return heard.group(1)

    @property
    def authority(self) -> str:
        return str(self.place / "tls" / "host_cert.pem")

    async def curl(self, *words: str) -> Ending:
        program = self.start([CURL.needed(), "-sS", "--cacert", self.authority, *words])
        return await program.when_ended(SECONDS)

    async def test_receipt(self) -> None:
        """The fingerprint is that of the certificate."""
        from mcptwist.protocols.tls import CertificateFiles, _fingerprint

        await self.serve()
        key = Path(self.authority).with_name("host_key.pem")
        chain, _ = CertificateFiles(self.authority, str(key)).read()
        said = await self.served.when_said(r"SHA-256\s+([0-9A-F:]+)\s", SECONDS)
        self.assertEqual(said.group(1), _fingerprint(chain[0]))

    async def test_curl(self) -> None:
        """Each version of HTTP, on one port; the name is verified."""
        url = await self.serve()
        for version, name in (("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")):
            ending = await self.curl(version, "-w", " %{http_version}", f"{url}/health")
            self.assertEqual(ending.out, f'{{"status":"ok"}}\n {name}', ending.said())
        ending = await self.curl(
            "--http2", "-H", "content-type: application/json", "-d", INITIALIZE,
            "-H", "accept: application/json, text/event-stream", f"{url}/mcp",
        )  # fmt: skip
        self.assertIn('"serverInfo":{"name":"toolbox"', ending.out, ending.said())

    async def test_curl_does_not_know_us(self) -> None:
        """Who was not told of the certificate does not trust it."""
        url = await self.serve()
        program = self.start([CURL.needed(), "-sS", f"{url}/health"])
        ending = await program.when_ended(SECONDS)
        self.assertEqual(ending.code, 60, ending.said())

    async def test_h2load(self) -> None:
        """Hundreds of calls, many at once, over each version of HTTP; every one is answered."""
        url = await self.serve()
        call = self.place / "call.json"
        call.write_text(json.dumps(CALL))
        for many in ("-m50", "--h1"):
            argv = [
                H2LOAD.needed(),
                "-n400",
                "-c2",
                many,
                f"--data={call}",
                *HEADERS,
                f"{url}/mcp",
            ]
            ending = await self.run_program(argv)
            self.assertIn("400 succeeded, 0 failed, 0 errored, 0 timeout", ending.out)
            self.assertIn("status codes: 400 2xx", ending.out)

    async def test_node_fetch(self) -> None:
        """Node 26 takes HTTP/2 by itself; it trusts us by its environment."""
        self.require("programs")
        url = await self.serve()
        only = ("--import", str(CLIENTS / "only_http2.mjs"))
        argv = [node("programs"), *only, "--input-type=module", "-e", FETCH, f"{url}/mcp"]
        program = self.start([*argv, json.dumps(CALL)], {"NODE_EXTRA_CA_CERTS": self.authority})
        ending = await program.when_ended(SECONDS)
        self.assertEqual(ending.out.split(), ["200", "42"] * 20, ending.said())

    async def test_node(self) -> None:
        """Forty calls at once on one connection, beside an event stream."""
        self.require("node")
        url = await self.serve()
        program = self.start([node(), "-e", NODE, url, self.authority])
        ending = await program.when_ended(SECONDS)
        self.assertEqual(ending.out.strip(), "right 40 h2", ending.said())

    async def test_a_daemon_behind_a_daemon(self) -> None:
        """Over TLS and HTTP/2, on one connection, with the far one's certificate trusted."""
        far = await self.serve()
        server = {"url": f"{far}/servers/box/mcp", "ca": str(self.authority)}
        near = self.place / "near.json"
        near.write_text(
            json.dumps({"mcpServers": {"far": server, "stranger": {"url": server["url"]}}})
        )
        listen = ("--listen", "tcp:0:interface=127.0.0.1")
        program = self.start([MCPTWIST, "run", "--config", str(near), *listen])
        heard = await program.when_said(r"(http://127\.0\.0\.1:\d+)/mcp[\s\S]+Press", SECONDS)
        self.url = heard.group(1)
        await self.check_calls()
        connections = await deferToThread(self.read, f"{far}/metrics")
        self.assertIn('mcptwist_connections{wire="h2"} 1.0', connections)
        self.assertNotIn('mcptwist_connections{wire="http/1.1"} 2', connections)
        stranger = await self.call("stranger", "1+1")
        self.assertEqual(stranger.code, 1, stranger.said())
        self.assertIn("nobody vouches for", stranger.err)

    async def test_a_websocket_behind_a_daemon(self) -> None:
        """``wss`` with a certificate that is trusted for this server; without it, not a word."""
        far = await self.serve()
        url = f"{far.replace('https', 'wss')}/servers/box/ws"
        for number, ca in enumerate((self.authority, None)):
            near = self.place / f"near{number}.json"
            near.write_text(json.dumps({"mcpServers": {"far": {"url": url, "ca": ca}}}))
            listen = ("--listen", "tcp:0:interface=127.0.0.1")
            program = self.start([MCPTWIST, "run", "--config", str(near), *listen])
            heard = await program.when_said(r"(http://127\.0\.0\.1:\d+)/mcp[\s\S]+Press", SECONDS)
            self.url = heard.group(1)
            if ca is not None:
                await self.check_calls()
                connections = await deferToThread(self.read, f"{far}/metrics")
                self.assertIn('mcptwist_connections{wire="websocket"} 1.0', connections)
            else:
                stranger = await self.call("far", "1+1")
                self.assertEqual(stranger.code, 1, stranger.said())
                self.assertIn("nobody vouches for", stranger.err)

    async def test_http2_switched_off(self) -> None:
        """Who would take HTTP/2 gets HTTP/1.1; who takes nothing else gets nothing."""
        url = await self.serve(more="http2 = false\n")
        ending = await self.curl("--http2", "-w", " %{http_version}", f"{url}/health")
        self.assertEqual(ending.out, '{"status":"ok"}\n 1.1', ending.said())
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols(["h2"])
        await self.assertFailure(deferToThread(self.shake_hands, url, context), ssl.SSLError)

    def shake_hands(self, url: str, context: ssl.SSLContext) -> None:
        host, _, port = url.removeprefix("https://").partition(":")
        with (
            create_connection((host, int(port)), 10) as tcp,
            context.wrap_socket(tcp, server_hostname=host) as encrypted,
        ):
            encrypted.recv(1)

    async def check_calls(self) -> None:
        endings = await gatherResults([self.call("far", f"{n}*2") for n in range(4)])
        found = [(ending.code, json.loads(ending.out or "{}").get("value")) for ending in endings]
        said = "\n".join(ending.said() for ending in endings)
        self.assertEqual(found, [(0, str(n * 2)) for n in range(4)], said)

    def call(self, server: str, expression: str) -> Deferred[Ending]:
        words = ("call", server, "calculate", json.dumps({"expression": expression}))
        return Deferred.fromCoroutine(self.run_command(*words, url=self.url))

    def read(self, url: str) -> str:
        context = ssl.create_default_context(cafile=self.authority)
        with urlopen(url, timeout=SECONDS, context=context) as answer:
            text: str = answer.read().decode()
            return text

    async def test_a_broken_certificate(self) -> None:
        """The daemon does not start, and says which file is wrong."""
        place = self.place / "tls"
        place.mkdir(mode=0o700)
        key = place / "host_key.pem"
        key.write_text("nonsense")
        key.chmod(0o600)
        config = self.place / "config.toml"
        config.write_text(CONFIG.format(place=self.place))
        program = self.start(
            [MCPTWIST, "run", "--config", str(config), "--listen", "https:0:interface=127.0.0.1"]
        )
        ending = await program.when_ended(SECONDS)
        self.assertEqual(ending.code, 1, ending.said())
        self.assertIn(f"{key} is not an unencrypted PEM key", ending.err)
