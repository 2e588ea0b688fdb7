"""The gatehouse: who is calling, proved by a key, and what they may reach.

A client's key stands in an ``authorized_keys`` file, as with SSH. With it the client signs an
assertion, for which it gets a short-lived token, bound to one resource. The pieces are Twisted
Cred's: credentials, checkers, a realm, one portal; the avatar is the
:class:`~mcptwist.auth.realm.Principal`.
"""
