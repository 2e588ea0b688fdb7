"""The house keeps its plan: who may import whom, who may touch the reactor, what files are called.

The rules, and the reasons for them, are in ``docs/architecture.rst``.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = CHECKOUT / "mcptwist"
WINGS = ("mcptwist.protocols", "mcptwist.auth", "mcptwist.console")
ASSEMBLERS = {
    "services",
    "daemon",
    "tap",
    "cli",
    "running",
    "asking",
    "askingcommands",
    "servingcommands",
    "client",
    "stdio",
    "tokens",
    "logins",
    "doctor",
    "watching/commands",
    "watching/whereabouts",
    "__main__",
}
WIRING = "wiring"
ROOMS = (".", "catalog", "eras", "serving", "configuration", "watching")
NAMELESS = {
    "common", "engine", "engines", "handler", "handlers", "helper", "helpers",
    "manager", "managers", "misc", "processor", "processors", "util", "utils",
}  # fmt: skip
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def nodes(tree: ast.AST, *, into_functions: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if into_functions or not isinstance(child, FUNCTIONS):
            yield child
            yield from nodes(child, into_functions=into_functions)


def imported(source: str, package: str, *, into_functions: bool = True) -> set[str]:
    """Return every dotted name that ``source``, a module of ``package``, imports.

    ``from a import b`` counts as both ``a`` and ``a.b``, as ``b`` may be a module.
    """
    names: set[str] = set()
    for node in nodes(ast.parse(source), into_functions=into_functions):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(node, package)
            names.update({origin}, (f"{origin}.{alias.name}" for alias in node.names))
    return names


def absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    above = parents[: len(parents) - (node.level - 1)]
    return ".".join([*above, *([node.module] if node.module else [])])


def wings_of(names: set[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(WINGS))


def is_reactor(name: str) -> bool:
    return name == "twisted.internet.reactor" or name.startswith("twisted.internet.reactor.")


def is_assembler(path: Path) -> bool:
    inside = path.relative_to(PACKAGE)
    return str(inside.with_suffix("")) in ASSEMBLERS or inside.parts[0] == WIRING


def package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(CHECKOUT).parts)


def read(path: Path, *, into_functions: bool = True) -> set[str]:
    source = path.read_text(encoding="utf-8")
    return imported(source, package_of(path), into_functions=into_functions)


class ImportedTests(SynchronousTestCase):
    """The reading of imports that the rules below rest on."""

    def test_absolute(self) -> None:
        """Plain and from-imports are seen, the latter also as a module of the package."""
        names = imported("import a.b\nfrom c.d import e", "mcptwist")
        self.assertEqual(names, {"a.b", "c.d", "c.d.e"})

    def test_relative(self) -> None:
        """A relative import is read from where its module stands."""
        names = imported("from . import x\nfrom ..errors import Y", "mcptwist.protocols")
        self.assertEqual(
            names,
            {"mcptwist.protocols", "mcptwist.protocols.x", "mcptwist.errors", "mcptwist.errors.Y"},
        )

    def test_inside_functions(self) -> None:
        """Imports in functions and in branches count; the former only where asked for."""
        source = "if True:\n import a\ndef f():\n  import b\nclass C:\n  import c"
        self.assertEqual(imported(source, "mcptwist"), {"a", "b", "c"})
        self.assertEqual(imported(source, "mcptwist", into_functions=False), {"a", "c"})

    def test_wings(self) -> None:
        """The wings are recognised by package and by module, the hall's rooms are not."""
        names = {"mcptwist.protocols", "mcptwist.auth.keys", "mcptwist.errors", "twisted"}
        self.assertEqual(wings_of(names), ["mcptwist.auth.keys", "mcptwist.protocols"])

    def test_reactor(self) -> None:
        """The global reactor is recognised however it is imported; its interfaces are not it."""
        for source in (
            "from twisted.internet import reactor",
            "import twisted.internet.reactor",
            "from twisted.internet.reactor import callLater",
        ):
            self.assertTrue(any(map(is_reactor, imported(source, "mcptwist"))), source)
        harmless = imported("from twisted.internet.interfaces import IReactorTime", "mcptwist")
        self.assertFalse(any(map(is_reactor, harmless)))


class TreeTests(SynchronousTestCase):
    """The rules, over every module there is."""

    def test_hall_imports_no_wing(self) -> None:
        """What the daemon is about knows neither wires nor keys nor screens."""
        rooms = [path for room in ROOMS for path in sorted((PACKAGE / room).glob("*.py"))]
        hall = [path for path in rooms if not is_assembler(path)]
        self.assertIn(PACKAGE / "__init__.py", hall)
        broken = {path.name: wings_of(read(path)) for path in hall}
        self.assertEqual({name: wings for name, wings in broken.items() if wings}, {})

    def test_nothing_installs_a_reactor_by_being_imported(self) -> None:
        """No module imports the global reactor at its top: twistd and the tests choose it."""
        broken = [
            str(path.relative_to(CHECKOUT))
            for path in sorted(PACKAGE.rglob("*.py"))
            if any(map(is_reactor, read(path, into_functions=False)))
        ]
        self.assertEqual(broken, [])

    def test_only_assemblers_take_the_global_reactor(self) -> None:
        """Everyone else is handed a reactor or a clock, and so can be tested with another."""
        broken = [
            str(path.relative_to(CHECKOUT))
            for path in sorted(PACKAGE.rglob("*.py"))
            if not is_assembler(path) and any(map(is_reactor, read(path)))
        ]
        self.assertEqual(broken, [])

    def test_file_names_are_nouns_of_the_domain(self) -> None:
        """No file is called by a word that would fit any other file as well."""
        folders = [CHECKOUT / name for name in ("mcptwist", "tests", "benchmarks", "twisted")]
        files = [path for folder in folders for path in folder.rglob("*.py")]
        self.assertIn(Path(__file__).resolve(), files)
        broken = [
            str(path.relative_to(CHECKOUT))
            for path in files
            if NAMELESS.intersection(path.stem.removeprefix("test_").split("_"))
        ]
        self.assertEqual(broken, [])

    def test_architecture_page_shows_every_room(self) -> None:
        """The page that says where things are names every module, and none that is not there."""
        page = (CHECKOUT / "docs" / "architecture.rst").read_text(encoding="utf-8")
        tree = page.partition("\nThe tree\n")[2].partition("\nThe way of a message\n")[0]
        shown = set(re.findall(r"^ +(\w+\.py) ", tree, re.MULTILINE))
        there = {path.name for path in PACKAGE.rglob("*.py")} - {"__init__.py", "__main__.py"}
        self.assertEqual(shown, there)
