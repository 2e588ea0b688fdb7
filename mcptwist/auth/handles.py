"""Handles that servers give out, and whose they are: tasks, and the states of calls to be retried.

A server behind the daemon does not know who is calling: to it, all are the daemon. So what it
hands to one is kept from the others here. A ``requestState`` goes out sealed for its principal; a
task's id is remembered with who got it, and unknown to everybody else.

MCP 2025-11-25, *Tasks*; MCP 2026-07-28, *Multi Round-Trip Requests, Server Requirements*. Pure.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from mcptwist.auth.keys import to_base64url
from mcptwist.errors import InvalidMessage, InvalidParams, UnknownName
from mcptwist.messages import Json, encode_json, open_fields

TASK_STATUS = "notifications/tasks/status"
#: Longer results are no questions to the client.
_LARGEST = 1 << 20
_MAC = 16


class _Given(msgspec.Struct, gc=False):
    requestState: Raw | UnsetType = UNSET
    task: Raw | UnsetType = UNSET
    taskId: Raw | UnsetType = UNSET


_given = msgspec.json.Decoder(_Given)
_NOTHING = _Given()


def holds_handle(result: Json) -> bool:
    """Whether there is a handle in *result*."""
    if len(result) > _LARGEST:
        return False
    try:
        given = _given.decode(result)
    except (msgspec.DecodeError, RecursionError):
        return False
    return given != _NOTHING


def unambiguous(fields: dict[str, Raw], member: str) -> dict[str, Raw]:
    """The same; each member is in it once, and whoever reads it reads the same *member*.

    :raises InvalidParams: a member is spelt so that some would take it for that one.
    """
    folded = member.casefold()
    if any(name != member and name.casefold() == folded for name in fields):
        raise InvalidParams(f"params have a member that differs from {member!r} only in its case")
    return fields


class States:
    """Seals states, and opens them for who they are for.

    :param secret: 32 unguessable bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def opened(self, params: Json, owner: str) -> Json:
        """The params with their state as the server gave it.

        :raises InvalidParams: it was given to somebody else, or altered.
        """
        fields = unambiguous(open_fields(params), "requestState")
        if "requestState" not in fields:
            return params
        sealed = _string(fields["requestState"]) or ""
        seal, _, state = sealed.partition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(state, owner).encode()):
            raise InvalidParams(
                "requestState does not belong to this request; send the request again without it"
            )
        fields["requestState"] = Raw(encode_json(state))
        return encode_json(fields)

    def sealed(self, result: Json, owner: str) -> Json:
        """The result with its state, if it has one, sealed for *owner*."""
        fields = _fields(result)
        state = _string(fields.get("requestState", Raw(b"null")))
        if state is None:
            return result
        fields["requestState"] = Raw(encode_json(f"{self._seal(state, owner)}.{state}"))
        return encode_json(fields)

    def _seal(self, state: str, owner: str) -> str:
        meant = f"{len(owner)}:{owner}{state}".encode("utf-8", "surrogatepass")
        return to_base64url(hmac.digest(self._secret, meant, "sha256")[:_MAC])


class Tasks:
    """Who got which task.

    :param limit: how many are remembered; the oldest is unknown to everybody then.
    :ivar forgotten: how many that became of.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self.limit = limit
        self.forgotten = 0
        self._owners: OrderedDict[tuple[str, str], str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owners)

    def note(self, server: str, result: Json, owner: str) -> None:
        """A call was answered; remember the task, if that is the answer."""
        fields = _fields(result)
        task = task_in(fields.get("task", b"")) or task_in(result)
        if task is not None:
            self._owners.setdefault((server, task), owner)
            if len(self._owners) > self.limit:
                self._owners.popitem(last=False)
                self.forgotten += 1

    def check(self, server: str, params: Json, owner: str) -> Json:
        """The params, if the task that they ask about is the asker's; each member is in them once.

        :raises UnknownName: it is not, or there is none.
        :raises InvalidParams: they ask about several.
        """
        fields = unambiguous(_fields(params), "taskId")
        if not self.is_of(server, _string(fields.get("taskId", Raw(b"null"))), owner):
            raise UnknownName("there is no such task")
        return encode_json(fields)

    def is_of(self, server: str, task: str | None, owner: str) -> bool:
        """Whether a task is that owner's."""
        return task is not None and self._owners.get((server, task)) == owner

    def own(self, server: str, result: Json, owner: str) -> Json:
        """A list of tasks without those of others.

        :raises InvalidMessage: it is no list of tasks.
        """
        fields: dict[str, Any] = dict(open_fields(result))
        try:
            tasks = _entries.decode(fields.get("tasks", b"[]"))
        except (msgspec.DecodeError, RecursionError):
            raise InvalidMessage("that is no list of tasks") from None
        fields["tasks"] = [each for each in tasks if self.is_of(server, task_in(each), owner)]
        return encode_json(fields)


_entries = msgspec.json.Decoder(list[Raw])


def task_in(json: Json) -> str | None:
    """The ``taskId`` in an object, if there is one."""
    return _string(_fields(json).get("taskId", Raw(b"null")))


def _fields(json: Json) -> dict[str, Raw]:
    try:
        return open_fields(json)
    except InvalidMessage:
        return {}


def _string(json: Raw) -> str | None:
    try:
        return msgspec.json.decode(json, type=str)
    except msgspec.DecodeError:
        return None
