"""The configuration that a command line asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mcptwist import config as configuration


def load(path: str | None, listen: Sequence[str]) -> configuration.Loaded:
    """The configuration of a file, or the built-in one where there is none.

    :param listen: endpoints that replace those of the file, if there are any.
    """
    if path is None:
        loaded = configuration.Loaded("the built-in default", configuration.default_config())
    else:
        loaded = configuration.read(path, os.environ)
    return configuration.override_listen(loaded, list(listen))
