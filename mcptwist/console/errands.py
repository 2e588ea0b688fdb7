"""What a console asks of the daemon, and says of what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.console.feed import Feed
from mcptwist.console.model import World, clean
from mcptwist.console.screen import Screen, TextScreen
from mcptwist.console.tables import Markup
from mcptwist.console.widgets import json_lines
from mcptwist.watching.figures import span

if TYPE_CHECKING:
    from mcptwist.console.app import Console

_SAID_AT_ONCE = 3


class Errands:
    """What the console has done for it, and its views."""

    feed: Feed
    world: World
    log: Logger

    def tell(self, text: str, colour: str = "good") -> None:
        """Say something for a while."""
        raise NotImplementedError

    def push(self, screen: Screen) -> None:
        """See another view."""
        raise NotImplementedError

    def changed(self) -> None:
        """Have it drawn anew."""
        raise NotImplementedError

    def act(self, tool: str, *each: Mapping[str, Any]) -> None:
        """Have something done, to one thing or several, and say how all of that went.

        :param each: the arguments of each call.
        """
        done: list[str] = []
        failed: list[str] = []

        def told() -> None:
            if len(done) + len(failed) == len(each):
                self._outcome(done, failed)

        def came(answer: Any) -> None:
            done.append(str(answer.get("done", "done")))
            told()

        def refused(why: str) -> None:
            failed.append(why)
            told()

        for arguments in each:
            self.call(tool, arguments, came, refused)

    def _outcome(self, done: Sequence[str], failed: Sequence[str]) -> None:
        """How actions went: in one line, or in a view where there is more to say."""
        colour = "bad" if failed else "good"
        texts = [*failed, *done]
        if len(texts) > _SAID_AT_ONCE:
            text = f"{len(done)} of {len(texts)} were done" + "".join(f"; {w}" for w in failed[:1])
            self.tell(text, colour)
        elif any("\n" in text for text in texts):
            lines = [(colour, clean(line)) for text in texts for line in text.splitlines()]
            self.push(TextScreen(cast("Console", self), "outcome", lambda width: lines))
        else:
            self.tell("; ".join(texts), colour)

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        came: Callable[[Any], None],
        failed: Callable[[str], None],
        heard: Callable[[str], None] = lambda text: None,
    ) -> Deferred[Any]:
        """Call a tool of the daemon's.

        :param came: gets its structured answer.
        :param failed: gets the words that tell why there is none.
        :param heard: gets the words of its progress.
        :return: what the call can be cancelled with.
        """

        def refused(failure: Failure) -> None:
            failed(str(getattr(failure.value, "message", "") or failure.getErrorMessage()))

        calling = self.feed.call(tool, arguments, heard)
        return calling.addCallbacks(came, refused).addErrback(self._broke)

    def ask(self, title: str, tool: str, arguments: Mapping[str, Any]) -> None:
        """Call a tool and show its answer in a view of its own."""
        lines: list[Markup] = [("busy", "waiting for the answer")]
        self.push(TextScreen(cast("Console", self), title, lambda width: lines))

        def came(answer: Any) -> None:
            status = str(answer.get("status"))
            colour = "good" if status == "ok" else "bad"
            took = f" after {span(answer.get('seconds'))}"
            lines[:] = [[("head", "Answer "), (colour, status), took], *_json(answer.get("answer"))]
            self.changed()

        def failed(why: str) -> None:
            lines[:] = [("bad", clean(why))]
            self.changed()

        self.call(tool, arguments, came, failed)

    def fetch_frame(self, number: int, came: Callable[[int, str], None]) -> None:
        """Have all of a message that passed."""
        fetching = self.feed.frame(number)
        fetching.addCallbacks(lambda text: came(number, text), lambda _: None)
        fetching.addErrback(self._broke)

    def filter_traffic(self, text: str) -> None:
        """Have only that traffic told."""
        self.feed.filter(text)

    def browse(self) -> None:
        """Ask every server that can be asked what it offers."""
        for name, server in self.world.servers.items():
            if server.state not in ("stopped", "misconfigured"):
                asking = self.feed.offers(name)
                asking.addCallbacks(
                    lambda offers, name=name: self._offered(name, offers),
                    lambda failure, name=name: self._not_offered(name, failure),
                )
                asking.addErrback(self._broke)

    def _offered(self, name: str, offers: list[Any]) -> None:
        self.world.saw_offers(name, offers)
        self.changed()

    def _not_offered(self, name: str, failure: Failure) -> None:
        why = getattr(failure.value, "message", "") or failure.getErrorMessage()
        self.tell(f"{name}: {why}", "bad")

    def _broke(self, failure: Failure) -> None:
        self.log.failure("the console broke", failure)
        self.tell(f"the console failed: {failure.getErrorMessage()}", "bad")


def _json(value: Any) -> list[Markup]:
    return json_lines(msgspec.json.encode(value).decode())
