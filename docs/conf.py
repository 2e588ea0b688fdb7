"""How Sphinx builds these pages: ``python3 dev.py docs``."""

import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from zope.interface.interface import InterfaceClass, Method

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import mcptwist  # noqa: E402  (it is found by the line above)

project = "mcptwist"
author = "the mcptwist authors"
copyright = f"2026, {author}"

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": mcptwist.__doc__, "page_width": "64rem"}
html_show_copyright = False

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

# A name in a type annotation is looked up in all modules, and may well stand in two of them.
suppress_warnings = ["ref.python"]


# -- the reference: one section per module there is ---------------------------------


def module_names() -> list[str]:
    found = pkgutil.walk_packages(mcptwist.__path__, "mcptwist.")
    public = (module.name for module in found if not module.ispkg)
    return sorted(name for name in public if not name.rpartition(".")[2].startswith("_"))


def list_modules(_: Sphinx, page: str, source: list[str]) -> None:
    """Append to the page ``api`` a section for every module, so that none is forgotten."""
    if page == "api":
        source[0] += "".join(section(name) for name in module_names())


def section(name: str) -> str:
    title = f"``{name}``"
    return f"\n\n{title}\n{'-' * len(title)}\n\n.. automodule:: {name}\n"


# -- zope interfaces: their promises are in docstrings that autodoc passes over -----


def describe_interfaces(
    _: Sphinx, what: str, __: str, described: object, ___: object, lines: list[str]
) -> None:
    """Append to a module's own text the interfaces it defines."""
    if what == "module":
        for interface in vars(described).values():
            if is_defined_in(interface, described):
                lines.extend(describe(interface))


def is_defined_in(thing: object, module: object) -> bool:
    return isinstance(thing, InterfaceClass) and thing.__module__ == module.__name__


def describe(interface: InterfaceClass) -> Iterator[str]:
    yield from ("", f".. py:class:: {interface.__name__}", "")
    yield from indented(interface.__doc__, "   ")
    for name in sorted(interface.names(), key=lambda name: interface[name].__class__ is Method):
        part = interface[name]
        is_method = isinstance(part, Method)
        kind, form = ("method", part.getSignatureString()) if is_method else ("attribute", "")
        yield from ("", f"   .. py:{kind}:: {name}{form}", "")
        yield from indented(part.__doc__, "      ")


def indented(text: str | None, by: str) -> Iterator[str]:
    first, *others = (text or "").expandtabs().splitlines() or [""]
    depth = min((len(line) - len(line.lstrip()) for line in others if line.strip()), default=0)
    yield by + first.strip()
    yield from (by + line[depth:] if line.strip() else "" for line in others)


def setup(app: Sphinx) -> None:
    app.connect("source-read", list_modules)
    app.connect("autodoc-process-docstring", describe_interfaces)
