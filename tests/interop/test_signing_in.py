"""``mcptwist connect``, which signs in, against the servers of the official conformance suite."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredSemaphore

from tests.interop import conformance_client
from tests.interop.rig import Ending, InteropCase, node
from tests.interop.test_conformance import MODERN, PACKAGE, Check, checks_in, shortcomings
from tests.patience import SECONDS

#: Each is mostly three programs that start.
AT_A_TIME = 3

#: What each scenario is to have seen, beside having no shortcomings.
PASSING = {
    "auth/client-credentials-jwt": "client-credentials-jwt-verified",
    "auth/client-credentials-basic": "client-credentials-basic-auth",
    "auth/dpop": "sep-1932-client-fresh-proof",
    "auth/dpop-nonce": "sep-1932-client-rs-nonce",
    "auth/metadata-default": "pkce-verifier-matches-challenge",
    "auth/metadata-var1": "resource-parameter-consistency",
    "auth/metadata-var2": "resource-parameter-consistency",
    "auth/metadata-var3": "resource-parameter-consistency",
    "auth/basic-cimd": "cimd-client-id-used",
    "auth/scope-from-www-authenticate": "scope-from-www-authenticate",
    "auth/scope-from-scopes-supported": "scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined": "scope-omitted-when-undefined",
    "auth/scope-step-up": "sep-2350-scope-union-on-reauth",
    "auth/scope-retry-limit": "scope-retry-limit",
    "auth/token-endpoint-auth-basic": "token-endpoint-auth-method",
    "auth/token-endpoint-auth-post": "token-endpoint-auth-method",
    "auth/token-endpoint-auth-none": "token-endpoint-auth-method",
    "auth/pre-registration": "pre-registration-auth",
    "auth/2025-03-26-oauth-metadata-backcompat": "token-request",
    "auth/resource-mismatch": "resource-mismatch-rejected",
    "auth/offline-access-scope": "sep-2207-offline-access-requested",
    "auth/offline-access-not-supported": "sep-2207-offline-access-not-requested",
    "auth/authorization-server-migration": "sep-2352-reregister-on-as-change",
    "auth/iss-supported": "sep-2468-client-compare-iss-supported",
    "auth/iss-not-advertised": "sep-2468-client-proceed-no-iss",
    "auth/iss-supported-missing": "sep-2468-client-reject-missing-iss",
    "auth/iss-wrong-issuer": "sep-2468-client-compare-iss-supported",
    "auth/iss-unexpected": "sep-2468-client-compare-iss-unadvertised",
    "auth/iss-normalized": "sep-2468-client-no-normalization",
    "auth/metadata-issuer-mismatch": "sep-2468-client-validate-metadata-issuer",
}

#: Those we do not pass, each with the reason. One that passes after all fails the test.
FAILING = {
    "auth/2025-03-26-oauth-endpoint-fallback": "nobody is asked who has no metadata, and so does "
    "not say that codes are kept from thieves (PKCE)",
    "auth/enterprise-managed-authorization": "an identity provider of an enterprise is nothing "
    "that a bridge on a person's machine knows of; it takes a token that is given to it",
    "auth/wif-jwt-bearer": "workloads that have an identity from their cloud have a key, too, and "
    "sign in with that",
}


class SigningInTests(InteropCase):
    environments = ("node",)

    async def scenario(self, name: str) -> tuple[Ending, list[Check]]:
        """Run one scenario; returns how the suite ended, and its checks."""
        results = self.place / "results" / name.replace("/", "-")
        command = f"{sys.executable} {Path(conformance_client.__file__).resolve()}"
        program = str(PACKAGE / "dist" / "index.js")
        revision = "2025-03-26" if "2025-03-26" in name else MODERN
        argv = [node(), program, "client", "--command", command, "--scenario", name]
        argv += ["--spec-version", revision, "--force"]  # extensions have no revision
        # By itself the suite gives a client 30 s, which a busy machine takes to start it.
        argv += ["--timeout", str(int(SECONDS * 1000))]
        ending = await self.run_program([*argv, "-o", str(results)], 4 * SECONDS)
        return ending, [check for checks in checks_in(results).values() for check in checks]

    async def assert_passes(self, *names: str) -> None:
        """Scenarios end well, without a warning, and have seen what they are about."""
        turns = DeferredSemaphore(AT_A_TIME)
        run = [turns.run(self.asynchronous, name) for name in names]
        for name, waiting in zip(names, run, strict=True):
            ending, found = await waiting
            self.assertEqual(list(shortcomings(name, found)), [], ending.said())
            self.assertEqual(ending.code, 0, ending.said())
            self.assertIn(PASSING[name], {check.id for check in found})

    def asynchronous(self, name: str) -> Deferred[tuple[Ending, list[Check]]]:
        return Deferred.fromCoroutine(self.scenario(name))

    async def test_keys_and_secrets(self) -> None:
        """A program signs in by itself (SEP-1046)."""
        await self.assert_passes(*(name for name in PASSING if "client-credentials" in name))

    async def test_possession(self) -> None:
        """A person logs in, and the token is bound to a key, with nonces and without (SEP-1932)."""
        await self.assert_passes("auth/dpop", "auth/dpop-nonce")

    async def test_discovery(self) -> None:
        """Wherever the metadata are, and of whatever issuer."""
        about = ("metadata", "resource", "migration")
        await self.assert_passes(*(name for name in PASSING if any(w in name for w in about)))

    async def test_who_we_are(self) -> None:
        """Registered beforehand, by a document, or by ourselves."""
        about = ("cimd", "registration", "endpoint-auth")
        await self.assert_passes(*(name for name in PASSING if any(w in name for w in about)))

    async def test_scopes(self) -> None:
        """What is asked for, and what more when that is not enough."""
        about = ("scope", "offline")
        await self.assert_passes(*(name for name in PASSING if any(w in name for w in about)))

    async def test_who_answers(self) -> None:
        """A code of another issuer is never passed on (RFC 9207)."""
        await self.assert_passes(*(name for name in PASSING if "/iss-" in name))

    async def test_every_scenario_is_here(self) -> None:
        """The suite has no scenario that none of these lists knows."""
        ending = await self.run_program([node(), str(PACKAGE / "dist" / "index.js"), "list"])
        words = {word for word in ending.out.split() if word.startswith("auth/")}
        self.assertEqual(words, {*PASSING, *FAILING})

    async def test_what_we_do_not_pass(self) -> None:
        """A scenario that passes after all shows that its reason is none any more."""
        for name, reason in FAILING.items():
            _, found = await self.scenario(name)
            self.assertNotEqual(list(shortcomings(name, found)), [], reason)
