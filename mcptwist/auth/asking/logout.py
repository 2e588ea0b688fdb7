"""Giving back what a person agreed to: it is revoked where it came from, and forgotten here.

RFC 7009. What cannot be revoked is forgotten all the same, and that is said.
"""

from __future__ import annotations

from mcptwist.auth.asking import discovery
from mcptwist.auth.asking.inquiry import Inquiry
from mcptwist.auth.asking.wallet import Grant, Wallet
from mcptwist.errors import McpTwistError, SignInFailed


class Logout:
    """Ends grants.

    :param inquiry: for the sake of the server that they are for.
    :ivar url: of that server.
    """

    def __init__(self, inquiry: Inquiry, wallet: Wallet) -> None:
        self.url = inquiry.url
        self._inquiry = inquiry
        self._wallet = wallet

    async def end(self, grant: Grant) -> str:
        """End one; why it may be good there still, empty if it is not.

        :raises SignInFailed: it cannot be forgotten.
        """
        try:
            await self._revoke(grant)
            left = ""
        except McpTwistError as problem:
            left = str(problem)
        self._wallet.forget(grant)
        if all(each.issuer != grant.issuer for each in self._wallet.contents().grants):
            self._wallet.introduce(grant.issuer, None)
        return left

    async def _revoke(self, grant: Grant) -> None:
        """:raises McpTwistError: the one or the other token was not revoked."""
        document = await self._inquiry.first(discovery.issuer_documents(grant.issuer))
        if document is None:
            raise SignInFailed(f"{grant.issuer} has no metadata any more")
        issuer = discovery.read_issuer(document, grant.issuer, grant.url)
        if not issuer.revocation_endpoint:
            raise SignInFailed(f"{grant.issuer} takes no tokens back")
        failed: McpTwistError | None = None
        for kind, token in (("refresh_token", grant.refresh), ("access_token", grant.token)):
            if token:
                try:
                    await self._take_back(issuer.revocation_endpoint, grant, kind, token)
                except McpTwistError as problem:
                    failed = failed or problem
        if failed is not None:
            raise failed

    async def _take_back(self, place: str, grant: Grant, kind: str, token: str) -> None:
        shown, headers = grant.client.proof()
        form = {"token": token, "token_type_hint": kind, **shown}
        found = await self._inquiry.send_form(place, form, headers)
        if found.status != 200:
            raise SignInFailed(f"{grant.issuer} did not take the token back ({found.status})")
