"""Who gets into direct conversations and archives: in front of any authenticator.

Owns two decisions, for the documents that have a chat. A direct conversation is its members'
alone: nobody else gets in, whatever their role, and no share link opens it. An archive is let
into by whoever gets into its document, and read only.
"""

from dataclasses import replace

from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.channels.names import archive_of, members_of
from crdtsync.channels.rules import ChannelRules
from crdtsync.errors import Forbidden
from crdtsync.gate import Principal
from crdtsync.roles import READ

__all__ = ["MembersAuthenticator", "admits_only_members", "guard_members"]

_MEMBERS_ONLY = "this conversation is between other people"


class MembersAuthenticator:
    """Asks ``inner``, and lets only members into what is theirs."""

    def __init__(self, inner: Authenticator, rules: ChannelRules) -> None:
        self.inner = inner
        self._rules = rules

    async def authenticate(self, request: ConnectRequest) -> Principal:
        document = request.document
        if not document or not self._rules.chats(document):
            return await self.inner.authenticate(request)
        archive = archive_of(document)
        if archive is not None:
            request = replace(request, document=archive.document)
        principal = await self.inner.authenticate(request)
        members = members_of(document)
        if members is not None and (principal.share or principal.id not in members):
            raise Forbidden(_MEMBERS_ONLY)
        if archive is not None:
            role = principal.role or READ
            reading = replace(role, write=(), restore=False, shares=False, moderate=False)
            principal = replace(principal, role=reading, read_only=True)
        return principal


def guard_members(authenticator: Authenticator, rules: ChannelRules) -> Authenticator:
    """Return an authenticator that keeps to this, unless it does already or there is no chat."""
    if not rules.chat or isinstance(authenticator, MembersAuthenticator):
        return authenticator
    return MembersAuthenticator(authenticator, rules)


def admits_only_members(rules: ChannelRules, document: str, id: str) -> bool:
    """Return whether a document is a conversation that somebody has no part in."""
    members = members_of(document) if rules.chats(document) else None
    return members is not None and id not in members
