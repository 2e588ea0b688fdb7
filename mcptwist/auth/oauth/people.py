"""What serves people with a key whose clients have none, put together.

The ``[auth.people]`` section; without it there is nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcptwist.auth.keyring import Keyring
from mcptwist.auth.oauth.approvaldesk import ApprovalDesk
from mcptwist.auth.oauth.approvals import Approvals, Bounds
from mcptwist.auth.oauth.issuing import Issuing
from mcptwist.auth.oauth.registrationdesk import RegistrationDesk
from mcptwist.auth.oauth.registrations import CODE, REFRESH, Redirects
from mcptwist.configuration.peopleconfig import People as Settings


class People:
    """See above.

    :param on: what the token endpoint stands on, too.
    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    :ivar approvals: what waits for somebody with a key to say yes.
    """

    def __init__(
        self,
        settings: Settings,
        on: Issuing,
        keyring: Keyring,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
    ) -> None:
        bounds = Bounds(
            settings.waiting, settings.waiting_per_source, settings.approval_ttl, settings.tries
        )
        self.approvals = Approvals(monotonic, make_bytes, bounds)
        self._approving = ApprovalDesk(on.guard, on.portal, self.approvals, on.audit)
        self._registering = RegistrationDesk(
            on.guard, on.audit, Redirects(settings.redirects), lambda: (CODE, REFRESH), on.wall
        )

    def pages(self) -> dict[bytes, Any]:
        """What is public of it, by the part of its path after ``/oauth``."""
        return {b"approve": self._approving.page(), b"register": self._registering.page()}

    def expire(self) -> None:
        """End what has waited for too long; to be called now and then."""
        self.approvals.expire()
