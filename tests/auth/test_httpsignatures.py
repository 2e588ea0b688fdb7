"""HTTP message signatures: RFC 9421's own examples, and the profile that MCP's draft has."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.httpsignatures import (
    AGE,
    ALGORITHMS,
    ASKED,
    SKEW,
    BadSignature,
    Head,
    MessageSignature,
    algorithm_of,
    content_digest,
    is_signed,
    read_signature,
    signature_base,
    target_uri,
    to_sign,
)
from mcptwist.auth.keys import ED25519, P256, RSA, PrivateKey, PublicKey
from mcptwist.auth.structuredfields import InnerList, read_dictionary

NOW = 1_800_000_000

ED25519_PEM = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----"""
P256_PEM = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----"""
RSA_PSS_PEM = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----"""

#: The messages of appendix B.2, as values of their components.
REQUEST = {
    "@method": "POST",
    "@path": "/foo",
    "@query": "?param=Value&Pet=dog",
    "@query-param": "dog",
    "@authority": "example.com",
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "content-type": "application/json",
    "content-digest": "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BN"
    "NyealdVLvRwEmTHWXvJwew==:",
    "content-length": "18",
}
RESPONSE = {
    "@status": "200",
    "content-type": "application/json",
    "content-digest": "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWd"
    "XymyU0rjJuahq4l5aGgfLQ==:",
    "content-length": "23",
}


def base_of(text: str, values: Mapping[str, str]) -> bytes:
    """The signature base of one of the RFC's examples, by its Signature-Input."""
    (signed,) = read_dictionary(text, 4096).values()
    assert isinstance(signed, InnerList)
    return signature_base(((item, values[str(item.value)]) for item in signed.items), signed)


class VectorTests(SynchronousTestCase):
    """RFC 9421 appendix B.2."""

    def check(self, pem: str, algorithm: str, text: str, values: Any, signature: str) -> None:
        key = PublicKey.from_text(pem, 2048)
        name = ALGORITHMS[key.kind][algorithm]
        base = base_of(text, values)
        self.assertTrue(key.verify(name, base64.b64decode(signature), base))
        self.assertFalse(key.verify(name, base64.b64decode(signature), base + b"x"))

    def test_b21_minimal(self) -> None:
        self.check(
            RSA_PSS_PEM,
            "rsa-pss-sha512",
            'sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
            REQUEST,
            "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgG"
            "xbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR"
            "72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuV"
            "G5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ"
            "98Xw9Q==",
        )

    def test_b22_selected(self) -> None:
        self.check(
            RSA_PSS_PEM,
            "rsa-pss-sha512",
            'sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473'
            ';keyid="test-key-rsa-pss";tag="header-example"',
            REQUEST,
            "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjv"
            "uJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rL"
            "EuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lank"
            "enQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTu"
            "gEjHSw==",
        )

    def test_b23_full(self) -> None:
        self.check(
            RSA_PSS_PEM,
            "rsa-pss-sha512",
            'sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" '
            '"content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"',
            REQUEST,
            "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683"
            "+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsL"
            "NmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9Bmzh"
            "uzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKE"
            "gM4cUA==",
        )

    def test_b24_response(self) -> None:
        self.check(
            P256_PEM,
            "ecdsa-p256-sha256",
            'sig-b24=("@status" "content-type" "content-digest" "content-length")'
            ';created=1618884473;keyid="test-key-ecc-p256"',
            RESPONSE,
            "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oia"
            "sw==",
        )

    def test_b26_ed25519(self) -> None:
        self.check(
            ED25519_PEM,
            "ed25519",
            'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"',
            REQUEST,
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw"
            "==",
        )

    def test_b26_base(self) -> None:
        """Line by line."""
        base = base_of('sig-b26=("date" "@method");created=1618884473;keyid="ed25519"', REQUEST)
        self.assertEqual(
            base.decode().split("\n"),
            [
                '"date": Tue, 20 Apr 2021 02:07:55 GMT',
                '"@method": POST',
                '"@signature-params": ("date" "@method");created=1618884473;keyid="ed25519"',
            ],
        )

    def test_digest(self) -> None:
        """RFC 9530 appendix A and B: of nothing, and of what it is."""
        self.assertEqual(
            content_digest(b""), b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
        )
        self.assertEqual(
            content_digest(b'{"hello": "world"}\n'),
            b"sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
        )


URL = "https://mcp.example.com/mcp"
BODY = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
NONCE = "V8wA3pX2qF7nL1cR"
KEYS = {kind: PrivateKey.generate(kind) for kind in (ED25519, P256)}


class Signed:
    """A request and its headers."""

    def __init__(self, kind: str = ED25519, method: str = "POST", url: str = URL) -> None:
        self.method, self.url, self.key = method, url, KEYS[kind]
        self.headers: list[tuple[bytes, bytes]] = [
            (b"content-digest", content_digest(BODY)),
            (b"mcp-protocol-version", b"2025-11-25"),
            (b"mcp-session-id", b"abc"),
        ]

    @property
    def head(self) -> Head:
        def values(name: bytes) -> list[bytes]:
            return [value for field, value in self.headers if field == name]

        return Head(self.method, self.url, values)

    def sign(self, **more: Any) -> Signed:
        keyid = self.key.public.thumbprint
        given = {"keyid": keyid, "tag": keyid, "nonce": NONCE, "created": NOW} | more
        made = to_sign(self.head, **given)
        (algorithm, *_) = self.key.public.algorithms
        self.headers += made.headers(self.key.sign(algorithm, made.base))
        return self

    def edited(self, name: bytes, before: bytes, after: bytes) -> Signed:
        """With something else in a header."""
        self.headers = [
            (field, value.replace(before, after) if field == name else value)
            for field, value in self.headers
        ]
        return self

    def read(self) -> MessageSignature:
        return read_signature(self.head)

    @property
    def is_good(self) -> bool:
        found = self.read()
        algorithm = algorithm_of(self.key.public.kind, found.algorithm)
        assert algorithm is not None
        return self.key.public.verify(algorithm, found.signature, found.signed)


class ProfileTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        for kind in KEYS:
            signed = Signed(kind).sign(expires=NOW + 60)
            self.assertTrue(is_signed(signed.head.values))
            self.assertTrue(signed.is_good)
            found = signed.read()
            self.assertEqual(found.keyid, signed.key.public.thumbprint)
            self.assertEqual((found.created, found.expires), (NOW, NOW + 60))
            self.assertEqual((found.nonce, found.algorithm), (NONCE, ""))
            self.assertEqual(found.digest, hashlib.sha256(BODY).digest())

    def test_covered(self) -> None:
        """The components that the draft names, in its order, and Authorization where there is."""
        signed = Signed()
        signed.headers.append((b"authorization", b"Bearer x"))
        text = dict(signed.sign().headers)[b"signature-input"].decode()
        self.assertTrue(
            text.startswith(
                'sig1=("@method" "@target-uri" "content-digest" "mcp-protocol-version" '
                f'"mcp-session-id" "authorization");created={NOW};nonce="{NONCE}";keyid="'
            ),
            text,
        )
        self.assertNotIn(";alg", text)

    def test_initialize(self) -> None:
        """The first request has neither revision nor session, and covers neither."""
        signed = Signed()
        del signed.headers[1:]
        signed.sign()
        self.assertTrue(signed.is_good)
        self.assertNotIn(b"mcp-session-id", dict(signed.headers)[b"signature-input"])

    def test_more_covered(self) -> None:
        """Whatever header there is may be covered as well, in any order."""
        signed = Signed()
        signed.headers.append((b"content-type", b"application/json"))
        names = [
            "content-type", "@authority", "@path", "@target-uri", "@method", "content-digest",
            "mcp-session-id", "mcp-protocol-version",
        ]  # fmt: skip
        keyid = signed.key.public.thumbprint
        covered = " ".join(f'"{name}"' for name in names)
        text = f'({covered});keyid="{keyid}";nonce="{NONCE}";tag="x";created={NOW};alg="ed25519"'
        lines = [f'"{name}": {signed.head.value(name)}' for name in names]
        base = "\n".join([*lines, f'"@signature-params": {text}']).encode()
        made = base64.b64encode(signed.key.sign("EdDSA", base))
        signed.headers += [
            (b"signature-input", f"my-label={text}".encode()),
            (b"signature", b"my-label=:" + made + b":"),
        ]
        self.assertTrue(signed.is_good)
        self.assertEqual(signed.read().tag, "x")

    def test_anything_else_signed(self) -> None:
        """What is covered cannot be changed."""
        signed = Signed().sign()
        for name, before, after in (
            (b"mcp-session-id", b"abc", b"abd"),
            (b"mcp-protocol-version", b"11", b"06"),
            (b"content-digest", content_digest(BODY), content_digest(b"")),
            (b"signature-input", NONCE.encode(), b"V8wA3pX2qF7nL1cS"),
            (b"signature-input", str(NOW).encode(), str(NOW + 1).encode()),
        ):
            other = Signed()
            other.headers = list(signed.headers)
            self.assertFalse(other.edited(name, before, after).is_good, name)
        for field, value in (("method", "DELETE"), ("url", URL + "?x"), ("url", URL + "x")):
            other = Signed()
            other.headers = list(signed.headers)
            setattr(other, field, value)
            self.assertFalse(other.is_good, value)

    def refused(self, signed: Signed, reason: str) -> None:
        problem = self.assertRaises(BadSignature, signed.read)
        self.assertIn(reason, problem.reason)

    def test_not_covered(self) -> None:
        for name in ("@method", "@target-uri", "content-digest", "mcp-protocol-version",
                     "mcp-session-id"):  # fmt: skip
            signed = Signed().sign().edited(b"signature-input", f'"{name}"'.encode(), b"")
            self.refused(signed, f"does not cover {name}")
        signed = Signed().sign()
        signed.headers.append((b"authorization", b"Bearer x"))
        self.refused(signed, "does not cover authorization")

    def test_covered_wrongly(self) -> None:
        for after, reason in (
            (b'"@method" "@query-param";name="x"', "not known here"),
            (b'"@method" "@query"', "not known here"),
            (b'"@method" "@unheard"', "not known here"),
            (b'"@method";req', "not known here"),
            (b'"@method" "content-digest";sf', "not known here"),
            (b'"@method" "Content-Type"', "not known here"),
            (b'"@method" "no such"', "not known here"),
            (b"method", "not known here"),
            (b"5", "not known here"),
            (b'"@method" "@method"', "twice"),
            (b'"@method" "accept"', "without accept"),
        ):
            self.refused(Signed().sign().edited(b"signature-input", b'"@method"', after), reason)

    def test_lines(self) -> None:
        """A header that matters comes on one line."""
        for name in (b"signature", b"signature-input", b"content-digest", b"mcp-session-id",
                     b"mcp-protocol-version"):  # fmt: skip
            signed = Signed().sign()
            signed.headers.append((name, dict(signed.headers)[name]))
            self.refused(signed, "several lines of")
        for name in (b"signature", b"signature-input", b"content-digest"):
            signed = Signed().sign()
            signed.headers = [pair for pair in signed.headers if pair[0] != name]
            self.refused(signed, f"without {name.decode()}")
        self.assertRaises(BadSignature, lambda: Signed().edited(
            b"mcp-session-id", b"abc", b"\xe9").sign())  # fmt: skip

    def test_values(self) -> None:
        """What is no line of ASCII cannot be signed, nor have been."""
        for field, value in (("url", URL + "?\xe9"), ("url", URL + "\n"), ("method", "P\xd6ST")):
            signed = Signed().sign()
            setattr(signed, field, value)
            self.refused(signed, "not of ASCII")
            self.assertRaises(BadSignature, signed.sign)

    def test_several(self) -> None:
        for name, more in (
            (b"signature", b", sig2=:AAA=:"),
            (b"signature-input", b', sig2=("@method");created=1'),
        ):
            signed = Signed().sign()
            signed.headers = [(f, v + more if f == name else v) for f, v in signed.headers]
            self.refused(signed, "not one with")
        both = Signed().sign().edited(b"signature", b"sig1=", b"sig2=")
        self.refused(both, "not one with")

    def test_forms(self) -> None:
        for name, before, after, reason in (
            (b"signature", b"=:", b'="', "not a sequence"),
            (b"signature", b"sig1=", b"sig1=1;x=", "not a sequence"),
            (b"signature-input", b"(", b"1;x=(", "a field that"),
            (b"signature-input", b"sig1=(", b"sig1;x=(", "a field that"),
            (b"content-digest", b"sha-256", b"sha-512", "without sha-256"),
            (b"content-digest", b"sha-256=", b"sha-256=1;x=", "without sha-256"),
            (b"content-digest", content_digest(BODY), b"sha-256=:AAA=:", "without sha-256"),
            (b"content-digest", content_digest(BODY), b"sha-256", "without sha-256"),
        ):
            self.refused(Signed().sign().edited(name, before, after), reason)
        signed = Signed().sign()
        signed.headers = [(f, b"sig1" if f == b"signature-input" else v) for f, v in signed.headers]
        self.refused(signed, "no list")

    def test_parameters(self) -> None:
        created, nonce = f";created={NOW}".encode(), f'nonce="{NONCE}"'.encode()
        for before, after, reason in (
            (created, b"", "no created"),
            (created, b';created="1"', "no created"),
            (created, b";created=-1", "no created"),
            (created, b";created=?1", "no created"),
            (created, b";created=999999999999", "no created"),
            (nonce, b"n=1", "parameter that is not known"),
            (b";" + nonce, b"", "no nonce"),
            (nonce, b'nonce="short"', "nonce that is not"),
            (nonce, b'nonce="' + b"a" * 129 + b'"', "nonce that is not"),
            (nonce, b'nonce="abcdefgh ijklmnop"', "nonce that is not"),
            (b";keyid=", b";tag2=", "parameter that is not known"),
            (b";created", b";expires=x;created", "no expires"),
            (b";created", b";alg=ed25519;created", "no alg"),
        ):
            self.refused(Signed().sign().edited(b"signature-input", before, after), reason)
        for name in ("keyid", "tag"):
            value = f';{name}="{KEYS[ED25519].public.thumbprint}"'.encode()
            signed = Signed().sign().edited(b"signature-input", value, b"")
            self.refused(signed, f"no {name}")

    def test_time(self) -> None:
        found = Signed().sign().read()
        found.check_time(NOW)
        found.check_time(NOW - SKEW)
        found.check_time(NOW + AGE - 1)
        found.check_time(NOW, born=NOW)
        for now, born, is_stale in (
            (NOW - SKEW - 1, 0, False),
            (NOW + AGE, 0, True),
            (NOW, NOW + 1, True),
        ):
            problem = self.assertRaises(BadSignature, found.check_time, now, born)
            self.assertEqual(problem.is_stale, is_stale)
        found.check_time(NOW + 29, age=30)
        self.assertRaises(BadSignature, found.check_time, NOW + 30, 0, 30)

    def test_expires(self) -> None:
        found = Signed().sign(expires=NOW + 20).read()
        found.check_time(NOW + 19)
        self.assertRaises(BadSignature, found.check_time, NOW + 20)
        long = Signed().sign(expires=NOW + 10 * AGE).read()
        self.assertEqual(long.until(), NOW + AGE)

    def test_algorithms(self) -> None:
        """The key decides; a name that contradicts it is not good."""
        self.assertEqual(algorithm_of(ED25519, ""), "EdDSA")
        self.assertEqual(algorithm_of(P256, "ecdsa-p256-sha256"), "ES256")
        self.assertEqual(algorithm_of(RSA, ""), "RS256")
        self.assertEqual(algorithm_of(RSA, "rsa-pss-sha512"), "PS512")
        for kind, name in ((ED25519, "ecdsa-p256-sha256"), (P256, "ed25519"), (RSA, "hmac-sha256"),
                           (RSA, "ed25519"), ("unix-user", "")):  # fmt: skip
            self.assertIsNone(algorithm_of(kind, name))

    def test_target(self) -> None:
        for url, wanted in (
            ("HTTPS://MCP.Example.com:443/Mcp?A=b", "https://mcp.example.com/Mcp?A=b"),
            ("http://127.0.0.1:8080/mcp", "http://127.0.0.1:8080/mcp"),
            ("http://[::1]:80", "http://[::1]/"),
            ("wss://a.example/ws", "https://a.example/ws"),
            ("ws://u:p@a.example:81/ws#x", "http://a.example:81/ws"),
        ):
            self.assertEqual(target_uri(url), wanted)

    def test_asked(self) -> None:
        self.assertEqual(
            ASKED,
            b'sig1=("@method" "@target-uri" "content-digest" "mcp-protocol-version" '
            b'"mcp-session-id");created;nonce;keyid;tag',
        )

    @settings(deadline=None, max_examples=80)
    @given(st.integers(0, 3), st.integers(0, 400), st.binary(min_size=1, max_size=3))
    def test_any_change(self, which: int, at: int, put: bytes) -> None:
        """No change of what is signed with it leaves a signature good."""
        signed = Signed().sign()
        name, value = signed.headers[which]
        at %= len(value) + 1
        changed = value[:at] + put + value[at + len(put) :]
        if changed.strip(b" \t") == value:
            return
        signed.headers[which] = name, changed
        try:
            self.assertFalse(signed.is_good)
        except BadSignature:
            return
