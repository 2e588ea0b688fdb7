"""Who owns which name: what servers have listed so far, to find the one an exchange is meant for.

Only what was listed is in here. That a name is missing does not say that nobody has it.
"""

from __future__ import annotations

import difflib
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import nlargest
from itertools import islice
from typing import NamedTuple

from mcptwist.catalog.resourceuris import prefixed
from mcptwist.catalog.resourceuris import split as split_uri
from mcptwist.catalog.toolnames import LIMIT, is_cut, may_be_of, prefix_of, public_name, split
from mcptwist.catalog.uritemplates import UriTemplate

_SUGGESTIONS = 3
_COMPARED = 50
"""Names looked at closely for a suggestion, which takes its time."""

_WORD = re.compile(r"[A-Za-z0-9]+")

_MENTIONED = 10_000
_LENGTH = 2048
_TEMPLATES = 1000
_PLAIN = 4096
"""Names that were not cut, once they were taken apart."""


class Shelf(NamedTuple):
    """One of the four things a server lists.

    :ivar method: what asks for the list.
    :ivar member: the member of the result that holds it.
    :ivar key: the member of each entry that it is known by.
    :ivar changed: what is said when the list has changed.
    """

    method: str
    member: str
    key: str
    changed: str


TOOLS = Shelf("tools/list", "tools", "name", "notifications/tools/list_changed")
PROMPTS = Shelf("prompts/list", "prompts", "name", "notifications/prompts/list_changed")
RESOURCES = Shelf("resources/list", "resources", "uri", "notifications/resources/list_changed")
TEMPLATES = Shelf(
    "resources/templates/list",
    "resourceTemplates",
    "uriTemplate",
    "notifications/resources/list_changed",
)
SHELVES = (TOOLS, PROMPTS, RESOURCES, TEMPLATES)
CHANGES = frozenset(shelf.changed for shelf in SHELVES)


class Owned(NamedTuple):
    """A tool, prompt or resource by its owner, and the name or URI that the owner knows it by."""

    server: str
    name: str


class Directory:
    """What one principal was shown by each server.

    :param servers: the names of all servers, in the order of the configuration, which decides
        where two own the same URI.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = servers
        self._prefixes = {prefix_of(server): server for server in reversed(servers)}
        self._names: dict[tuple[str, Shelf], dict[str, str]] = {}
        self._plain: dict[str, Owned] = {}
        self._uris: dict[str, Collection[str]] = {}
        self._claimed: dict[str, Collection[str]] = {}
        self._owners: dict[str, str] | None = None
        self._templates: dict[str, list[UriTemplate]] = {}
        self._offering: dict[str, str] | None = None
        self._mentioned: OrderedDict[str, str] = OrderedDict()
        self._learnt: dict[tuple[str, Shelf], Collection[str]] = {}

    # --- what is learnt ---------------------------------------------------------------

    def learn(self, server: str, shelf: Shelf, keys: Collection[str]) -> None:
        """*server* has listed *shelf*, and on it what is known by *keys*; nothing else is there.

        :param keys: kept, and not looked at again while the same object is given.
        """
        if self._learnt.get((server, shelf)) is keys:
            return
        self._learnt[server, shelf] = keys
        if shelf is RESOURCES:
            self._uris[server] = keys
            self._owners = None
        elif shelf is TEMPLATES:
            self._templates[server] = [UriTemplate(key) for key in islice(keys, _TEMPLATES)]
            self._offering = None
        else:
            self._names[server, shelf] = {public_name(server, key): key for key in keys}

    def claim(self, server: str, uris: Collection[str]) -> None:
        """*server* has tools that are shown by these resources; it need not list them."""
        if self._claimed.get(server, frozenset()) != (claimed := frozenset(uris)):
            self._claimed[server] = claimed
            self._owners = None

    def mention(self, server: str, uris: Iterable[str]) -> None:
        """*server* has pointed to these resources, which need not be listed."""
        for uri in uris:
            if len(uri) > _LENGTH:
                continue
            self._mentioned[uri] = server
            self._mentioned.move_to_end(uri)
        while len(self._mentioned) > _MENTIONED:
            self._mentioned.popitem(last=False)

    def forget(self, server: str, change: str) -> None:
        """*server* says that what it listed has changed."""
        for shelf in SHELVES:
            if shelf.changed == change:
                self._names.pop((server, shelf), None)
                self._learnt.pop((server, shelf), None)
        if change == RESOURCES.changed:
            self._uris.pop(server, None)
            self._templates.pop(server, None)
            self._owners = self._offering = None

    # --- tools and prompts ------------------------------------------------------------

    def find(self, shelf: Shelf, public: str) -> Owned | None:
        """The owner of the tool or prompt that clients know as *public*.

        What was not cut need not have been listed: its name says all.
        """
        found = self._plain.get(public)
        if found is not None:
            return found
        parts = split(public)
        if parts is None:
            return self._find_cut(shelf, public)
        server = self._prefixes.get(parts[0])
        if server is None or public_name(server, parts[1]) != public:
            return None
        if len(self._plain) >= _PLAIN:
            self._plain.clear()
        return self._plain.setdefault(public, Owned(server, parts[1]))

    def _find_cut(self, shelf: Shelf, public: str) -> Owned | None:
        for (server, held), names in self._names.items():
            if held is shelf and public in names:
                return Owned(server, names[public])
        return None

    def candidates(self, public: str) -> list[str]:
        """The servers whose list might tell what *public* is."""
        if not is_cut(public):
            return []
        return [server for server in self._servers if may_be_of(server, public)]

    def similar(self, shelf: Shelf, public: str) -> list[str]:
        """Names that may have been meant, the likeliest first."""
        known = [
            name for (_, held), names in self._names.items() if held is shelf for name in names
        ]
        ends = [name for name in known if name.endswith(f"__{public}")]
        words = set(_WORD.findall(public[:LIMIT]))
        likely = nlargest(_COMPARED, known, key=lambda name: len(words & set(_WORD.findall(name))))
        close = difflib.get_close_matches(public[:LIMIT], likely, _SUGGESTIONS)
        return list(dict.fromkeys((*ends, *close)))[:_SUGGESTIONS]

    # --- resources --------------------------------------------------------------------

    def owner(self, uri: str) -> str | None:
        """The server whose resource *uri* is: listed, the view of a tool, pointed to, or what a
        template makes.

        Of several that list it or have such a tool, it is the first.
        """
        if self._owners is None:
            self._owners = {
                listed: server
                for server in reversed(self._servers)
                for listed in (*self._uris.get(server, ()), *self._claimed.get(server, ()))
            }
        listed_by = self._owners.get(uri)
        return listed_by or self._mentioned.get(uri) or self._owner_by_template(uri)

    def resource(self, public: str) -> Owned | None:
        """The resource or template that clients know as *public*, by its owner."""
        parts = split_uri(public)
        if parts is not None and parts[0] in self._servers:
            return Owned(*parts)
        server = self.owner(public)
        return None if server is None else Owned(server, public)

    def public_uri(self, server: str, uri: str) -> str:
        """What clients know *server*'s resource *uri* as: the same, unless it is taken."""
        if self.owner(uri) in (server, None) and not self._looks_prefixed(uri):
            return uri
        return prefixed(server, uri)

    def public_template(self, server: str, text: str) -> str:
        """What clients know *server*'s template as: the same, unless an earlier one has it too."""
        if self._offering is None:
            self._offering = {t.text: s for s in reversed(self._servers) for t in self._of(s)}
        if self._offering.get(text, server) == server and not self._looks_prefixed(text):
            return text
        return prefixed(server, text)

    def _looks_prefixed(self, uri: str) -> bool:
        parts = split_uri(uri)
        return parts is not None and parts[0] in self._servers

    def _owner_by_template(self, uri: str) -> str | None:
        best: str | None = None
        weight = -1
        for server, template in self._all_templates():
            if template.text == uri:
                return server
            if template.weight > weight and template.matches(uri):
                best, weight = server, template.weight
        return best

    def _all_templates(self) -> Iterator[tuple[str, UriTemplate]]:
        for server in self._servers:
            for template in self._of(server):
                yield server, template

    def _of(self, server: str) -> Sequence[UriTemplate]:
        return self._templates.get(server, ())


class Directories:
    """A directory for each principal, for what one is shown another need not be.

    :param limit: how many principals are remembered; whoever was longest away is forgotten first.
    """

    def __init__(self, servers: Sequence[str], limit: int = 64) -> None:
        self._servers = servers
        self._limit = limit
        self._by_principal: OrderedDict[str, Directory] = OrderedDict()

    def of(self, principal: str) -> Directory:
        """The directory of *principal*."""
        directory = self._by_principal.get(principal)
        if directory is None:
            directory = self._by_principal[principal] = Directory(self._servers)
            if len(self._by_principal) > self._limit:
                self._by_principal.popitem(last=False)
        else:
            self._by_principal.move_to_end(principal)
        return directory

    def begin_anew(self, servers: Sequence[str]) -> None:
        """There are other servers: forget who was shown what."""
        self._servers = servers
        self._by_principal.clear()

    def forget(self, server: str, change: str) -> None:
        """*server* says that what it listed has changed."""
        for directory in self._by_principal.values():
            directory.forget(server, change)
