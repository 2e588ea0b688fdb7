"""The official conformance suite, run against the daemon with the fixture server behind it.

The suite is ``@modelcontextprotocol/conformance``; what it requires of a revision is in the
``requirements/`` files of that package, and those lists are what these tests go by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.install import ENVIRONMENTS
from tests.interop.rig import Ending, InteropCase, node
from tests.patience import SECONDS

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
PACKAGE = ENVIRONMENTS["node"].home / "node_modules/@modelcontextprotocol/conformance"

#: How many scenarios each revision requires of a server: a shorter list would be a misread file.
REQUIRED = {LEGACY: 30, MODERN: 37}

#: Scenarios that count for nothing yet, and that we pass all the same.
UNSCORED_PASSING = {
    LEGACY: ("server-session-lifecycle", "json-schema-2020-12", "server-sse-polling"),
    MODERN: (
        "json-schema-2020-12",
        "http-header-validation",
        "http-custom-header-server-validation",
    ),
}

#: Those we do not pass, each with the reason. One that passes after all fails the test.
UNSCORED_FAILING: dict[str, dict[str, str]] = {LEGACY: {}, MODERN: {}}


@dataclass(frozen=True)
class Check:
    """One check of one scenario, as the suite recorded it."""

    scenario: str
    id: str
    status: str
    message: str
    details: Any

    def __str__(self) -> str:
        seen = json.dumps(self.details)[:600] if self.details else ""
        return f"{self.scenario} / {self.id}: {self.status}: {self.message} {seen}".rstrip()


def required_scenarios(revision: str) -> list[str]:
    """The scenarios a server must pass for *revision*: the ``server:`` list of a YAML file."""
    text = (PACKAGE / "requirements" / f"{revision}.yaml").read_text()
    section = re.search(r"^server:\n((?: +- .*\n)+)", text, re.MULTILINE)
    return re.findall(r"^ +- (\S+)", section.group(1), re.MULTILINE) if section else []


def checks_in(results: Path) -> dict[str, list[Check]]:
    """What the suite wrote under *results*, by scenario."""
    found: dict[str, list[Check]] = {}
    for file in sorted(results.glob("**/checks.json")):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\d-]+Z$", "", file.parent.name)
        found[scenario] = [
            Check(
                scenario, one["id"], one["status"], one.get("errorMessage", ""), one.get("details")
            )
            for one in json.loads(file.read_text())
        ]
    return found


def shortcomings(scenario: str, checks: list[Check]) -> Iterator[str]:
    """What is wrong with one scenario.

    A warning is a shortcoming too: the fixture by itself, without a daemon in between, gives the
    suite no reason for one in any scenario that counts.
    """
    yield from (str(check) for check in checks if check.status in ("FAILURE", "WARNING"))
    if not any(check.status == "SUCCESS" for check in checks):
        yield f"{scenario}: no check succeeded"


class Suite(InteropCase):
    """Tests that run the suite."""

    environments = ("node", "python2")

    async def suite(self, url: str, *choice: str) -> tuple[Ending, dict[str, list[Check]]]:
        """Run the suite at *url*; returns how it ended, and the checks of every scenario."""
        results = self.place / "results"
        program = str(PACKAGE / "dist" / "index.js")
        argv = [node(), program, "server", "--url", url, *choice, "-o", str(results)]
        ending = await self.run_program(argv, 4 * SECONDS)
        return ending, checks_in(results)


class ConformanceTests(Suite):
    async def assert_conforms(self, revision: str, path: str) -> None:
        required = required_scenarios(revision)
        self.assertEqual(len(required), REQUIRED[revision])
        # A server that asks its client back needs a process for each session.
        base = await self.fixture(scope="session")
        ending, checks = await self.suite(f"{base}{path}", "--requirements", revision)
        wrong = [
            line
            for scenario in required
            for line in shortcomings(scenario, checks.get(scenario, []))
        ]
        if wrong:
            self.fail(f"{len(wrong)} shortcomings at {path}:\n" + "\n".join(wrong))
        self.assertEqual(ending.code, 0, ending.said())

    async def test_modern(self) -> None:
        """Every scenario that 2026-07-28 requires, at the URL of one server."""
        await self.assert_conforms(MODERN, self.path_of("fixture"))

    async def test_legacy(self) -> None:
        """Every scenario that 2025-11-25 requires, at the URL of one server."""
        await self.assert_conforms(LEGACY, self.path_of("fixture"))

    async def test_modern_together(self) -> None:
        """The same at the URL of all servers, which adds no prefix when there is only one."""
        await self.assert_conforms(MODERN, "/mcp")

    async def test_legacy_together(self) -> None:
        """The same at the URL of all servers, which adds no prefix when there is only one."""
        await self.assert_conforms(LEGACY, "/mcp")

    async def assert_unscored(self, revision: str) -> None:
        base = await self.fixture(scope="session")
        url = f"{base}{self.path_of('fixture')}"
        wrong: list[str] = []
        failing = UNSCORED_FAILING[revision]
        for scenario in (*UNSCORED_PASSING[revision], *failing):
            choice = ("--scenario", scenario, "--spec-version", revision)
            _, checks = await self.suite(url, *choice)
            found = list(shortcomings(scenario, checks.get(scenario, [])))
            if scenario not in failing:
                wrong += found
            elif not found:
                wrong.append(
                    f"{scenario} passes now: it is no longer true that {failing[scenario]}"
                )
        if wrong:
            self.fail(f"{len(wrong)} surprises:\n" + "\n".join(wrong))

    async def test_unscored_modern(self) -> None:
        """What counts for nothing in 2026-07-28 is as we say it is."""
        await self.assert_unscored(MODERN)

    async def test_unscored_legacy(self) -> None:
        """What counts for nothing in 2025-11-25 is as we say it is."""
        await self.assert_unscored(LEGACY)
