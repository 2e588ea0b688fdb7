"""Where devices ask to be let in, and what came of it: the device authorization grant.

``POST /oauth/device_authorization`` gives the codes, the token endpoint the answer;
``/oauth/device`` tells a person who was sent there what to do. RFC 8628.
"""

from __future__ import annotations

import math
from urllib.parse import parse_qs

from mcptwist.auth.addresses import DEVICE as PAGE
from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import SCOPES
from mcptwist.auth.guard import baseline, source_of
from mcptwist.auth.oauth import loginpages
from mcptwist.auth.oauth.approvals import (
    DENIED,
    Approvals,
    ApprovalsFull,
    Approved,
    Wanted,
    code_in,
)
from mcptwist.auth.oauth.devices import INTERVAL, Device, Devices, DevicesFull
from mcptwist.auth.oauth.forms import MOST_PARAMETERS, Form, Refused, invalid_client, overloaded
from mcptwist.auth.oauth.logindesk import LoginDesk, invalid_grant
from mcptwist.auth.oauth.logins import Allowed
from mcptwist.auth.oauth.metadata import NO_STORE, respond
from mcptwist.auth.oauth.registrations import DEVICE, client_of
from mcptwist.auth.penalties import BAD_TOKEN
from mcptwist.protocols.request import Request


class DeviceDesk:
    """The endpoint where they ask, and the page.

    :param desk: where logins become tokens.
    """

    def __init__(self, desk: LoginDesk, approvals: Approvals, devices: Devices) -> None:
        self.desk = desk
        self.devices = devices
        self._approvals = approvals

    def begin(self, request: Request, address: Address, form: Form) -> None:
        """Give a device its codes (RFC 8628 section 3.2).

        :raises Refused: it gets none.
        """
        client = client_of(form.get("client_id", ""))
        if client is None:
            raise invalid_client("client_id is none that was given out")
        resource = self.desk.issuer.resource(address, form)
        source = source_of(request)
        scopes = _wanted(form.get("scope"), resource)
        wanted = Wanted(address.base, client.id, client.name, "", resource, scopes, source)
        try:
            self.devices.check_room()
            pending = self._approvals.ask(wanted)
        except (ApprovalsFull, DevicesFull):
            raise overloaded("too many wait for approval") from None
        self.desk.issuer.on.audit.tell(
            "auth.device.asked",
            client=client.id,
            resource=resource.url,
            scope=scopes,
            peer=source,
        )
        page = address.base + PAGE
        told = {
            "device_code": self.devices.begin(pending),
            "user_code": pending.code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={pending.code}",
            "expires_in": math.ceil(self._approvals.seconds_left(pending)),
            "interval": int(INTERVAL),
        }
        respond(request, 200, told, NO_STORE)

    def show(self, request: Request, address: Address) -> None:
        """Tell a person what to do. Whether the code is one that waits is not told."""
        if request.method not in (b"GET", b"HEAD"):
            respond(request, 405, {"error": "invalid_request"}, ((b"allow", b"GET, HEAD"),))
            return
        code = _code_of(request.uri.partition(b"?")[2])
        request.respond(200, loginpages.HEADERS, loginpages.device(address.base, code))


class DeviceGrant:
    """``urn:ietf:params:oauth:grant-type:device_code``: the answer, as soon as there is one."""

    name = DEVICE

    def __init__(self, devices: DeviceDesk) -> None:
        self._devices = devices.devices
        self._desk = devices.desk

    def answer(self, request: Request, address: Address, form: Form) -> None:
        """Give tokens, or say that there are none yet (RFC 8628 section 3.5).

        :raises Refused: there are none.
        """
        device = self._devices.find(form.get("device_code", ""))
        if device is None:
            raise invalid_grant("the device code is none of ours, or was used", BAD_TOKEN)
        wanted = device.pending.wanted
        if form.get("client_id") != wanted.client_id:
            raise invalid_grant("the device code is another client's", BAD_TOKEN)
        approved = self._outcome(device)
        # Not sooner, for anybody may wait, and each proof that was good takes up room for a while;
        # not later, for a client that is sent back for a nonce comes again with the same code.
        jkt = self._desk.issuer.possession(request, address, None)
        allowed = Allowed(wanted.client_id, wanted.resource, approved.scopes, approved.grant)
        login = self._desk.begin_without_code(allowed)
        self._devices.end(device)
        self._desk.give_first(request, address, login, form, jkt)

    def _outcome(self, device: Device) -> Approved:
        """What came of it.

        :raises Refused: nothing yet, or nothing good.
        """
        is_hasty = self._devices.is_hasty(device)
        outcome = device.pending.outcome
        if isinstance(outcome, Approved):
            return outcome
        if outcome is not None:
            self._devices.end(device)
            error = "access_denied" if outcome == DENIED else "expired_token"
            raise Refused(error, f"the device was {outcome}")
        error = "slow_down" if is_hasty else "authorization_pending"
        raise Refused(error, "nobody has decided yet")


def _code_of(query: bytes) -> str | None:
    """The code that a person's link has in it, if it has one."""
    try:
        found = parse_qs(query.decode("latin-1"), max_num_fields=MOST_PARAMETERS)
    except ValueError:  # of so many, none is ours
        return None
    return code_in(found.get("user_code", [""])[0])


def _wanted(asked: str | None, resource: Address) -> frozenset[str]:
    """The scopes that a device asks for; what is usual, if it does not say.

    :raises Refused: none of them is known.
    """
    named = asked.split(" ") if asked else baseline(resource.place)
    found = frozenset(named) & frozenset(SCOPES)
    if not found:
        raise Refused("invalid_scope", "no scope that there is", description=" ".join(SCOPES))
    return found
