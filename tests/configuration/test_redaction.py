"""``mcptwist.configuration.redaction``: which values are secret, and text without them."""

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.configuration.redaction import (
    BLOT,
    looks_secret,
    redact,
    secret_values,
    secrets_in_address,
    secrets_in_arguments,
)


class LooksSecretTests(SynchronousTestCase):
    """By its name alone."""

    def test_secret(self) -> None:
        """Names of variables, headers, options and parameters."""
        for name in (
            "API_KEY", "GITHUB_PERSONAL_ACCESS_TOKEN", "password", "DB_PASSWD", "Authorization",
            "X-Api-Key", "--api-key", "openaiApiKey", "APIKEY", "clientSecret", "Cookie", "KEYS",
        ):  # fmt: skip
            self.assertTrue(looks_secret(name), name)

    def test_harmless(self) -> None:
        """Names that only have such letters in them."""
        for name in ("PATH", "HOME", "PATTERN", "NODE_ENV", "author", "Accept-Language", "", "_1"):
            self.assertFalse(looks_secret(name), name)


class SecretValuesTests(SynchronousTestCase):
    """Among variables and headers."""

    def test_by_name(self) -> None:
        """A secret name makes any value secret."""
        self.assertEqual(secret_values([("PASSWORD", "correct horse")]), {"correct horse"})

    def test_by_look(self) -> None:
        """A value that looks like a key is secret whatever its name."""
        self.assertEqual(
            secret_values([("X", "ghp_16C7e42F292c6912E7")]), {"ghp_16C7e42F292c6912E7"}
        )

    def test_harmless(self) -> None:
        """Paths, words, numbers and switches are left readable; so is what is too short."""
        pairs = [
            ("ROOT", "/srv/data/2026"), ("MODE", "production"), ("MAX_TOKENS", "4096"),
            ("USE_TOKEN", "true"), ("KEY", "abc"), ("BASE", "https://example.com/mcp"),
        ]  # fmt: skip
        self.assertEqual(secret_values(pairs), frozenset())

    def test_scheme_of_authorization(self) -> None:
        """The token alone is secret too, for a server may repeat it without its scheme."""
        found = secret_values([("Authorization", "Bearer abc-def")])
        self.assertEqual(found, {"Bearer abc-def", "abc-def"})

    def test_address(self) -> None:
        """A password inside an address is found whatever the variable is called."""
        found = secret_values([("DATABASE", "postgres://app:hunter%202@db/app")])
        self.assertEqual(found, {"hunter%202", "hunter 2"})


class AddressTests(SynchronousTestCase):
    """In URLs."""

    def test_query_and_path(self) -> None:
        """Parameters by name or by look, and path segments that are keys."""
        url = "https://x/s/0a1b2c3d4e5f6a7b8c9d0e1f/mcp?api_key=abcd&page=next&v=k3yk3yk3yk3yk3y"
        found = {"abcd", "k3yk3yk3yk3yk3y", "0a1b2c3d4e5f6a7b8c9d0e1f"}
        self.assertEqual(secrets_in_address(url), found)

    def test_no_address(self) -> None:
        """Other text, also text that only begins like an address."""
        for text in ("", "abc", "http:", "http://[::1", "http://u:pw@", "a b://x"):
            self.assertIsInstance(secrets_in_address(text), frozenset)
        self.assertEqual(secrets_in_address("http://[bad?api_key=abcd"), frozenset())


class ArgumentsTests(SynchronousTestCase):
    """On command lines."""

    def test_options(self) -> None:
        """With a space, with =, as a variable, and in an address."""
        args = [
            "--token", "tok-1", "--api-key=tok-2", "-e", "GH_TOKEN=tok-3", "https://u:tok-4@x",
        ]  # fmt: skip
        self.assertEqual(secrets_in_arguments(args), {"tok-1", "tok-2", "tok-3", "tok-4"})

    def test_harmless(self) -> None:
        """An option after a secret-looking switch is no secret, nor are plain arguments."""
        self.assertEqual(secrets_in_arguments(["--token", "--verbose", "file", "a=b"]), frozenset())


class RedactTests(SynchronousTestCase):
    """Text with secrets blotted out."""

    def test_longest_first(self) -> None:
        """A secret within another leaves no rest of the longer one."""
        self.assertEqual(redact("got abcd-efgh", {"abcd", "abcd-efgh"}), f"got {BLOT}")

    @settings(deadline=None, max_examples=50)
    @given(some.lists(some.text("abcdef", min_size=4), max_size=4), some.text("abcdef", max_size=9))
    def test_nothing_left(self, secrets: list[str], between: str) -> None:
        """No secret can be read afterwards."""
        text = redact(between.join(secrets), secrets)
        for secret in secrets:
            self.assertNotIn(secret, text)
