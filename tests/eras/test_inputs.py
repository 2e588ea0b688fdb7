"""What a server wants of its client, in the words of both eras."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.eras import inputs
from mcptwist.eras.inputs import INPUT_METHODS
from mcptwist.eras.words import LEGACY_METHODS
from mcptwist.errors import InvalidMessage
from mcptwist.messages import Error, encode_json
from tests.scripted import opened


def error(code: int, data: Any = None) -> Error:
    return Error(1, encode_json({"code": code, "message": "no", "data": data}))


class InputTests(SynchronousTestCase):
    """As a modern server asks, and as a legacy one does."""

    def test_retried(self) -> None:
        """The same request with the inputs, and with nothing of an earlier round."""
        params = encode_json({"name": "t", "requestState": "old", "inputResponses": {"b": {}}})
        found = opened(inputs.retried(params, {"a": b'{"x":1}'}, b'"new"'))
        wanted = {"name": "t", "inputResponses": {"a": {"x": 1}}, "requestState": "new"}
        self.assertEqual(found, wanted)
        self.assertEqual(opened(inputs.retried(params, {}, None)), {"name": "t"})

    def test_inputs(self) -> None:
        """What a result requires."""
        requests = {"a": {"method": "roots/list"}, "b": {"method": "x", "params": {"y": 1}}}
        result = {"resultType": "input_required", "inputRequests": requests, "requestState": "s"}
        found = inputs.inputs_required(encode_json(result))
        assert found is not None
        self.assertEqual(
            {k: r.method for k, r in found.requests.items()}, {"a": "roots/list", "b": "x"}
        )
        self.assertEqual(opened(found.requests["b"].params), {"y": 1})
        self.assertEqual(opened(found.state), "s")

    def test_no_inputs(self) -> None:
        """A complete result requires none, whatever words are in it."""
        for result in ({}, {"resultType": "complete"}, {"content": ["input_required"]}):
            self.assertIsNone(inputs.inputs_required(encode_json(result)))

    def test_malformed_inputs(self) -> None:
        """A result that requires something else than requests is refused."""
        for requests in ([], {"a": 1}, {"a": {}}, {"a": {"method": 1}}):
            result = {"resultType": "input_required", "inputRequests": requests}
            with self.assertRaises(InvalidMessage):
                inputs.inputs_required(encode_json(result))

    def test_questions(self) -> None:
        """The mode of an elicitation goes to clients that know modes."""
        asked = encode_json({"mode": "form", "message": "m"})
        for revision, modes in (("2025-06-18", []), ("2025-11-25", ["form"])):
            found = opened(inputs.question_params("elicitation/create", asked, revision, "1"))
            self.assertEqual([found[k] for k in found if k == "mode"], modes)

    def test_name_of_a_url(self) -> None:
        """A URL has a name in the legacy era, which a modern server does not give it."""
        for asked, id in (({"mode": "url"}, "f-1"), ({"mode": "url", "elicitationId": "x"}, "x")):
            params = encode_json(asked)
            found = opened(
                inputs.question_params("elicitation/create", params, "2025-11-25", "f-1")
            )
            self.assertEqual(found["elicitationId"], id)

    def test_modern_question(self) -> None:
        """What has no meaning for a modern client is not asked of it."""
        meta = {"progressToken": 1, "kept": 2}
        said = {"mode": "url", "url": "u", "elicitationId": "1", "task": {}, "_meta": meta}
        found = inputs.modern_question("elicitation/create", encode_json(said))
        params = {"mode": "url", "url": "u", "_meta": {"kept": 2}}
        self.assertEqual(
            opened(encode_json(found)), {"method": "elicitation/create", "params": params}
        )
        self.assertEqual(inputs.modern_question("roots/list", b""), {"method": "roots/list"})

    def test_url_elicitations(self) -> None:
        """A ``-32042`` is a number of inputs."""
        wanted = {"url": "https://x.example", "message": "go", "elicitationId": "1"}
        found = inputs.url_elicitations(error(-32042, {"elicitations": [wanted]}))
        params = {"mode": "url", "url": "https://x.example", "message": "go"}
        self.assertEqual(
            opened(encode_json(found)),
            {"url-0": {"method": "elicitation/create", "params": params}},
        )

    def test_no_url_elicitations(self) -> None:
        """Another error, or one without the list it must have, is not."""
        lists: list[Any] = [None, {}, {"elicitations": None}, {"elicitations": [1]}, [1], "x"]
        for data in lists:
            self.assertIsNone(inputs.url_elicitations(error(-32042, data)), data)
        self.assertIsNone(inputs.url_elicitations(error(-32602, {"elicitations": [{}]})))
        self.assertIsNone(inputs.url_elicitations(Error(1, b"[]")))

    def test_inputs_are_asked_of_calls(self) -> None:
        """Only methods that a legacy server may ask back in are held."""
        self.assertLessEqual(INPUT_METHODS, LEGACY_METHODS)


class CapabilityTests(SynchronousTestCase):
    def lacking(self, capabilities: Any, method: str, **params: Any) -> Any:
        return inputs.lacking(encode_json(capabilities), method, encode_json(params))

    def test_declared(self) -> None:
        """What was declared may be asked."""
        everything = {"sampling": {}, "roots": {}, "elicitation": {"form": {}, "url": {}}}
        for method in inputs.ASKED_BY:
            self.assertIsNone(self.lacking(everything, method))
            self.assertIsNone(self.lacking(everything, method, mode="url"))

    def test_undeclared(self) -> None:
        """What was not is named, as ``data.requiredCapabilities`` has it."""
        for method, capability in inputs.ASKED_BY.items():
            self.assertEqual(self.lacking({"other": {}}, method), {capability: {}})

    def test_modes(self) -> None:
        """Elicitation without a mode means forms; a URL is asked only where it was declared."""
        create, by_url = "elicitation/create", {"elicitation": {"url": {}}}
        self.assertIsNone(self.lacking({"elicitation": {}}, create))
        self.assertIsNone(self.lacking({"elicitation": {}}, create, mode="form"))
        self.assertEqual(self.lacking({"elicitation": {}}, create, mode="url"), by_url)
        self.assertEqual(self.lacking({"elicitation": {"form": {}}}, create, mode="url"), by_url)
        self.assertEqual(self.lacking(by_url, create), {"elicitation": {}})
        self.assertIsNone(self.lacking(by_url, create, mode="url"))
