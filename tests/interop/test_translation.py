"""The official conformance suite across the eras: the daemon has to translate all it asks for.

A server of one era only stands behind the daemon, and the suite of the other era is run in front
of it. What no translator can pass is named here, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.interop.test_conformance import (
    LEGACY,
    MODERN,
    REQUIRED,
    Suite,
    required_scenarios,
    shortcomings,
)

#: Scenarios that cannot be passed, by what the server behind speaks.
IMPOSSIBLE: Mapping[str, Mapping[str, str]] = {
    "legacy": {
        "input-required-result-basic-elicitation": (
            "it wants the input under the key `user_name`, and no elicitation request of the "
            "legacy era carries anything that could be such a key"
        ),
        "input-required-result-ignore-extra-params": (
            "it hands in an answer before anything was asked, under a key of its own; a server "
            "that asks by requests has to be called before it is known what it wants"
        ),
    },
    "modern": {},
}


class TranslationTests(Suite):
    environments = ("node", "python1", "python2")

    async def assert_translated(self, eras: str, revision: str, path: str, **settings: str) -> None:
        """The suite of *revision* finds nothing wrong but what is ``IMPOSSIBLE``."""
        required = required_scenarios(revision)
        self.assertEqual(len(required), REQUIRED[revision])
        impossible = IMPOSSIBLE[eras]
        # Started with the daemon: the suite waits for no program. A call that may be asked back
        # has the process that was probed, and waits for none either.
        base = await self.fixture(eras, lazy=False, **settings)
        _, checks = await self.suite(f"{base}{path}", "--requirements", revision)
        wrong: list[str] = []
        for scenario in required:
            found = list(shortcomings(scenario, checks.get(scenario, [])))
            if scenario not in impossible:
                wrong += found
            elif not found:
                wrong.append(
                    f"{scenario} passes now: it is no longer true that {impossible[scenario]}"
                )
        unknown = set(impossible) - set(required)
        wrong += [f"{scenario} is not required any more" for scenario in sorted(unknown)]
        if wrong:
            self.fail(f"{len(wrong)} shortcomings at {path}:\n" + "\n".join(wrong))

    async def test_modern_at_a_legacy_server(self) -> None:
        """What 2026-07-28 requires, of a server that only asks by requests of its own."""
        await self.assert_translated("legacy", MODERN, self.path_of("fixture"))

    async def test_modern_at_legacy_servers_together(self) -> None:
        """The same at the URL of all servers."""
        await self.assert_translated("legacy", MODERN, "/mcp")

    async def test_legacy_at_a_modern_server(self) -> None:
        """What 2025-11-25 requires, of a server that shakes no hands and asks by its results."""
        await self.assert_translated("modern", LEGACY, self.path_of("fixture"))

    async def test_legacy_at_modern_servers_together(self) -> None:
        """The same at the URL of all servers."""
        await self.assert_translated("modern", LEGACY, "/mcp")
