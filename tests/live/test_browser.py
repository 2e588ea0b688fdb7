"""A real browser: what pages of other origins can do with the daemon, and what they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import File

from mcptwist.config import load
from mcptwist.protocols.http1 import HTTP1Connection
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.http2 import HTTP2Connection
from mcptwist.server import Context, Server
from mcptwist.services import make_daemon
from mcptwist.serving.schema import Header
from tests.live import browser
from tests.live.test_children import in_reactor
from tests.patience import SECONDS

PAGES = Path(__file__).with_name("pages")
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"

#: What the daemon of these tests serves.
server = Server("sky", version="1")


@server.tool(read_only=True)
def weather(region: Annotated[str, Header("Region")]) -> str:
    """What it is like there."""
    return f"fine at the {region}"


@server.tool(read_only=True)
def forecast(context: Context) -> str:
    """What it will be like, told day by day."""
    for day in (1, 2, 3):
        context.progress(day, 3)
    return "fine for three days"


class Report(Resource):
    """Where a page tells what it found.

    :param told: called with it.
    """

    isLeaf = True

    def __init__(self, told: Callable[[Any], None]) -> None:
        super().__init__()
        self._told = told

    def render_POST(self, request: Any) -> bytes:
        self._told(json.load(request.content))
        return b""


class Stage:
    """Another origin: a small server of the test's, where the pages come from."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[Any]] = []
        root = Resource()
        for page in PAGES.glob("*.html"):
            root.putChild(page.name.encode(), File(str(page)))
        root.putChild(b"examples", File(str(EXAMPLES)))
        root.putChild(b"report", Report(self._told))
        root.putChild(b"authorize", Report(lambda line: self.authorize(line)))
        self.authorize: Callable[[str], object] = lambda line: None
        site: Any = Site(root)
        site.log = lambda request: None  # what pages are opened with may be secret
        self._listening: Any = reactor.listenTCP(0, site, interface="127.0.0.1")
        address: Any = self._listening.getHost()
        self.port: int = address.port

    def origin(self, name: str = "127.0.0.1") -> str:
        return f"http://{name}:{self.port}"

    def next_report(self) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _told(self, found: Any) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(found)

    def close(self) -> Any:
        return self._listening.stopListening()


class BrowserTestCase(TestCase):
    """A daemon, two stages, and a browser that comes when it is called.

    :cvar endpoint: where the daemon answers.
    :cvar flags: what the browser must be told so that it takes that.
    :cvar connection: what the two then speak.
    """

    timeout = 5 * SECONDS
    skip = browser.CHROMIUM.obstacle()
    endpoint = "tcp:0:interface=127.0.0.1"
    flags: tuple[str, ...] = ()
    connection: type = HTTP1Connection

    def setUp(self) -> Deferred[Any]:
        self.friend, self.stranger = Stage(), Stage()
        self.addCleanup(self.friend.close)
        self.addCleanup(self.stranger.close)
        config = load(json.dumps(self.settings()), "mcp.json", {}).config
        assert config is not None
        self.daemon = make_daemon(config, reactor)
        self.spoken: set[type] = set()
        self._note_what_is_spoken(self.daemon.listeners[0].factory)
        self.daemon.startService()
        self.addCleanup(self.daemon.stopService)
        return self.daemon.when_bound()

    def settings(self) -> dict[str, Any]:
        """The daemon's configuration."""
        return {
            "listen": self.endpoint,
            "tls": {"directory": self.mktemp()},
            "allowed_origins": [self.friend.origin(), self.friend.origin("localhost")],
            "cors": {"headers": ["X-Trace"], "exposed_headers": ["Vary"]},
            "limits": {"body_bytes": 100_000},
            "mcpServers": {"sky": {"python": f"{__name__}:server"}},
        }

    def _note_what_is_spoken(self, factory: HTTP1Factory) -> None:
        opened = factory.opened

        def noted(connection: Any) -> None:
            self.spoken.add(type(connection))
            opened(connection)

        self.patch(factory, "opened", noted)

    def tearDown(self) -> None:
        self.assertIn(self.connection, self.spoken)

    @property
    def url(self) -> str:
        return self.daemon.listeners[0].url()

    @property
    def refused(self) -> dict[str, int]:
        """How often the daemon has refused what."""
        counts = self.daemon.listeners[0].factory.counters.refused
        return {code: count for code, count in counts.items() if count}

    async def visit(
        self,
        *scenarios: str,
        stage: Stage | None = None,
        name: str = "127.0.0.1",
        page: str = "scenarios",
        daemon: str = "",
        flags: tuple[str, ...] = (),
        secret: str = "",
    ) -> Any:
        """Have the browser open a page, and hear what the page found in each scenario.

        :param stage: where the page comes from.
        :param name: under which the browser knows that stage.
        :param secret: what the page alone is to know.
        """
        stage = stage or self.friend
        query = f"daemon={daemon or self.url}&scenarios={','.join(scenarios)}"
        report = stage.next_report()
        chromium = browser.Browser(
            f"{stage.origin(name)}/{page}.html?{query}#{secret}", (*self.flags, *flags)
        )
        try:
            found = await report
            return found[scenarios[0]] if len(scenarios) == 1 else found
        finally:
            chromium.close()


class AllowedTests(BrowserTestCase):
    """Pages whose origin is among ``allowed_origins``."""

    @in_reactor
    async def test_modern(self) -> None:
        """A call with all its headers, a tool's own and a configured one; its answer is read."""
        found = await self.visit("modern", "mismatch")
        good, bad = found["modern"], found["mismatch"]
        self.assertEqual(good["status"], 200, found)
        self.assertIn("fine at the coast", good["body"])
        self.assertIn("vary", good["names"])
        self.assertNotIn("date", good["names"])
        # The tool's header is not only let through but looked at.
        self.assertEqual(bad["status"], 400, found)
        self.assertIn("-32020", bad["body"])
        self.assertEqual(self.refused, {})

    @in_reactor
    async def test_event_stream(self) -> None:
        """An answer that comes as events is read by ``fetch`` as it comes, progress first."""
        found = await self.visit("stream")
        self.assertEqual(found["type"], "text/event-stream", found)
        self.assertEqual(found["progress"], [1, 2, 3])
        self.assertEqual(found["answer"], "fine for three days")

    @in_reactor
    async def test_subscription(self) -> None:
        """A subscription stays open, and ends when the page has heard enough."""
        found = await self.visit("listening")
        self.assertEqual(found["first"], "notifications/subscriptions/acknowledged", found)
        self.assertEqual(found["given up"], "AbortError")

    @in_reactor
    async def test_legacy(self) -> None:
        """A session: its id can be read, it can be used, listened on, and ended."""
        found = await self.visit("legacy")
        self.assertTrue(found["session"], found)
        self.assertEqual((found["version"], found["ready"]), ("2025-11-25", 202))
        self.assertIn("fine at the coast", found["called"]["body"])
        self.assertIn(found["ended"], (200, 204))
        self.assertEqual(found["after"]["status"], 404)
        self.assertEqual(self.refused, {})

    @in_reactor
    async def test_errors(self) -> None:
        """A page can read what went wrong."""
        self.assertEqual(
            await self.visit("errors"),
            {
                "no such page": 404,
                "no such server": 404,
                "not JSON": 400,
                "wrong type": 415,
                "wrong method": 405,
                "too long": 413,
                "not a socket": 426,
            },
        )

    @in_reactor
    async def test_event_source(self) -> None:
        """HTTP+SSE: the stream, and the URL to speak to."""
        found = await self.visit("events")
        self.assertTrue(found["endpoint"].startswith("/messages?session_id="), found)
        self.assertEqual(found["sent"], 202)
        self.assertEqual(found["answer"]["result"]["protocolVersion"], "2024-11-05")

    @in_reactor
    async def test_websocket(self) -> None:
        found = await self.visit("socket")
        self.assertEqual((found["protocol"], found["clean"]), ("mcp", True), found)
        self.assertEqual(found["answer"]["result"]["protocolVersion"], "2025-11-25")

    @in_reactor
    async def test_another_site(self) -> None:
        """For a browser, localhost is not even the same site as 127.0.0.1."""
        found = await self.visit("modern", name="localhost")
        self.assertEqual(found["status"], 200, found)

    @in_reactor
    async def test_beyond(self) -> None:
        """What is not listed is not sent; no cookies, no credentials of the browser's own."""
        failed = {"error": "TypeError"}
        self.assertEqual(
            await self.visit("beyond"),
            {"another header": failed, "another method": failed, "credentials": failed},
        )

    @in_reactor
    async def test_example(self) -> None:
        """The page of the documentation does what it says."""
        found = await self.visit("example")
        self.assertEqual(found["tools"], ["weather", "forecast"], found)
        self.assertIn("fine at the coast", found["answer"])


class RefusedTests(BrowserTestCase):
    """All other pages."""

    async def check_nothing_works(self, **how: Any) -> None:
        found = await self.visit("modern", "events", "socket", **how)
        self.assertEqual(
            {scenario: what["error"] for scenario, what in found.items()},
            {"modern": "TypeError", "events": "error", "socket": "error"},
        )
        self.assertEqual(set(self.refused), {"foreign-origin"})
        self.assertGreaterEqual(self.refused["foreign-origin"], 3)

    @in_reactor
    async def test_stranger(self) -> None:
        """A page of another port of this machine is a page of somebody else."""
        await self.check_nothing_works(stage=self.stranger)

    @in_reactor
    async def test_no_origin(self) -> None:
        """A sandboxed frame on an allowed page is not that page."""
        await self.check_nothing_works(page="sandbox")

    @in_reactor
    async def test_blind(self) -> None:
        """What browsers send without asking is refused before anybody looks at it."""
        found = await self.visit("blind", stage=self.stranger)
        self.assertEqual(set(found), {"post", "get"})
        self.assertEqual(set(self.refused), {"foreign-origin"})
        self.assertGreaterEqual(self.refused["foreign-origin"], 2)

    @in_reactor
    async def test_rebinding(self) -> None:
        """A page whose own name leads here gets nowhere with that name."""
        found = await self.visit(
            "modern",
            stage=self.stranger,
            name="evil.example",
            daemon=self.url.replace("127.0.0.1", "evil.example"),
            flags=("--host-resolver-rules=MAP evil.example 127.0.0.1",),
        )
        self.assertEqual(found["error"], "TypeError")
        self.assertEqual(set(self.refused), {"foreign-host"})


class PublicTests(BrowserTestCase):
    """B9: pages of the wide internet do not reach this machine at all, allowed or not."""

    def tearDown(self) -> None:
        """Nothing was spoken."""

    @in_reactor
    async def test_nothing_arrives(self) -> None:
        """Local Network Access: the browser may connect, and sends not one request."""
        stage = f"127.0.0.1:{self.friend.port}"
        flags = (f"--ip-address-space-overrides={stage}=public",)
        found = await self.visit("modern", "socket", "blind", flags=flags)
        self.assertEqual(found["modern"]["error"], "TypeError")
        self.assertEqual(found["socket"]["error"], "error")
        self.assertEqual({each["error"] for each in found["blind"].values()}, {"TypeError"})
        counters = self.daemon.listeners[0].factory.counters
        self.assertEqual((counters.requests, self.refused), (0, {}))


class EncryptedAllowedTests(AllowedTests):
    """The same over HTTP/2 with TLS; a browser takes it wherever it is offered."""

    endpoint = "https:0:interface=127.0.0.1"
    flags = ("--ignore-certificate-errors",)
    connection = HTTP2Connection

    @in_reactor
    async def test_websocket(self) -> None:
        """A WebSocket alone goes over HTTP/1.1; a connection of HTTP/2 that is there is used."""
        for scenario, connection in (("socket", HTTP1Connection), ("tunnel", HTTP2Connection)):
            self.spoken.clear()
            found = await self.visit(scenario)
            self.assertEqual((found["protocol"], found["clean"]), ("mcp", True), found)
            self.assertEqual(self.spoken, {connection}, scenario)


class EncryptedRefusedTests(RefusedTests):
    """The same over HTTP/2 with TLS."""

    endpoint = "https:0:interface=127.0.0.1"
    flags = ("--ignore-certificate-errors",)
    connection = HTTP2Connection
