"""What can be said about a server in Python, inside the daemon. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from mcptwist.configuration.anyserver import Server
from mcptwist.configuration.settings import Key, Place, text

_ATTRIBUTE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")


def _attribute(place: Place, value: Any) -> str | None:
    found = text(place, value)
    if found is not None and not _ATTRIBUTE.match(found):
        place.mistake("does not name a Python object", '"package.module:attribute"')
        return None
    return found


class PythonServer(Server, frozen=True, kw_only=True):
    """A server written in Python that runs inside the daemon."""

    KIND: ClassVar[str] = "python"
    MARK: ClassVar[str] = "python"

    python: Annotated[str, Key(_attribute, 'the server object, as "package.module:attribute"')]

    def _target(self) -> str:
        return self.python
