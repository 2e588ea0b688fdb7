"""What serves people with a key whose clients have none, put together.

The ``[auth.people]`` section; without it there is nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcptwist.auth.addresses import DEVICES
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.oauth.approvaldesk import ApprovalDesk
from mcptwist.auth.oauth.approvals import Approvals, Bounds
from mcptwist.auth.oauth.browserdesk import BrowserDesk
from mcptwist.auth.oauth.devicedesk import DeviceDesk, DeviceGrant
from mcptwist.auth.oauth.devices import Devices
from mcptwist.auth.oauth.issuing import Issuer, Issuing, TokenGrant
from mcptwist.auth.oauth.logindesk import CodeGrant, LoginDesk, RefreshGrant
from mcptwist.auth.oauth.logins import Logins
from mcptwist.auth.oauth.loginstore import LoginFile
from mcptwist.auth.oauth.metadata import Page
from mcptwist.auth.oauth.registrationdesk import RegistrationDesk
from mcptwist.auth.oauth.registrations import Redirects
from mcptwist.configuration.peopleconfig import People as Settings


class People:
    """See above.

    :param on: what the token endpoint stands on, too.
    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    :param dismiss: ends what is open of a login, by its id; how many there were of each.
    :ivar approvals: what waits for somebody with a key to say yes.
    :ivar logins: what came of it, where somebody did.
    :ivar desk: where that becomes tokens.
    :ivar devices: where devices ask, which no browser can come back to.
    :ivar browsers: where browsers wait for it.
    :raises CannotStart: the file of logins cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        on: Issuing,
        keyring: Keyring,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
        dismiss: Callable[[str], dict[str, int]],
    ) -> None:
        bounds = Bounds(
            settings.waiting, settings.waiting_per_source, settings.approval_ttl, settings.tries
        )
        self.approvals = Approvals(monotonic, make_bytes, bounds)
        self._approving = ApprovalDesk(on.guard, on.portal, self.approvals, on.audit)
        self._audit = on.audit
        self._keyring = keyring
        store = LoginFile(settings.store, on.wall, monotonic) if settings.store else None
        self.logins = Logins(
            monotonic,
            make_bytes,
            on.tokens,
            settings.login_ttl,
            settings.logins,
            settings.logins_per_key,
            store,
        )
        self.desk = LoginDesk(Issuer(on), self.logins, keyring, dismiss)
        self.devices = DeviceDesk(
            self.desk, self.approvals, Devices(monotonic, make_bytes, 2 * settings.waiting)
        )
        redirects = Redirects(settings.redirects)
        self._registering = RegistrationDesk(
            on.guard, on.audit, redirects, self._grant_names, on.wall
        )
        self.browsers = BrowserDesk(
            on.guard,
            on.audit,
            keyring,
            redirects,
            self.approvals,
            self.logins,
            monotonic,
            make_bytes,
        )

    def grants(self) -> list[TokenGrant]:
        """The ways to come to a token."""
        return [CodeGrant(self.desk), RefreshGrant(self.desk), DeviceGrant(self.devices)]

    def _grant_names(self) -> list[str]:
        return [grant.name for grant in self.grants()]

    def metadata(self, base: str) -> dict[str, Any]:
        """What metadata say of it (RFC 8414), under a name of ours."""
        methods = ["private_key_jwt", "none"]
        return {
            "registration_endpoint": f"{base}/oauth/register",
            "device_authorization_endpoint": base + DEVICES,
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "authorization_response_iss_parameter_supported": True,
            "mcptwist_bearer_refresh_supported": True,
        }

    def pages(self) -> dict[bytes, Any]:
        """What is public of it, by the part of its path after ``/oauth``."""
        return {
            b"approve": self._approving.page(),
            b"device": Page(self.devices.show, self.desk.issuer.on.guard),
            b"register": self._registering.page(),
            **self.browsers.pages(),
        }

    def restore(self) -> None:
        """Take up the logins that were kept, once it is known which keys are good.

        :raises CannotStart: they cannot be read.
        """
        for kept, reason in self.logins.restore(self._keyring.grant):
            self._audit.tell(
                "auth.login.ended",
                principal=kept.principal,
                key=kept.key,
                client=kept.client,
                login=kept.mark,
                reason=reason,
            )

    def close(self) -> None:
        """The daemon stops."""
        self.logins.store.close()

    def expire(self) -> None:
        """End what has waited or lasted for too long; to be called now and then."""
        self.approvals.expire()
        self.devices.devices.expire()
        self.browsers.look()
        self.logins.expire()

    def withdraw(self, key: str) -> int:
        """A key is not good any more; how many logins ended with it."""
        return self.logins.withdraw(key)
