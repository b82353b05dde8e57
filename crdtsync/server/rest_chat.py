"""Chat over HTTP: what was said in a document, and saying something.

Owns the URLs below ``/api/v1/chat``. Who may read the document reads its messages, those in
archives included; what may be written ``crdtsync.channels.chat`` decides. Text goes in and out as
JSON, as it is: nothing here is markup.
"""

from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crdtsync.channels.chat import Chat
from crdtsync.channels.listing import MAX_PAGE
from crdtsync.channels.model import Message, MessageType
from crdtsync.channels.names import is_message_id
from crdtsync.channels.saying import Said
from crdtsync.errors import Forbidden
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.protocol import check_document_name
from crdtsync.server.bodies import Fields, read_body
from crdtsync.server.doors import caller_of
from crdtsync.server.parameters import API, iso, number
from crdtsync.server.permits import Permits
from crdtsync.server.problems import Problem

__all__ = ["DEFAULT_MESSAGES", "MESSAGES", "REACTIONS", "RestChat"]

MESSAGES: Final = f"{API}/chat/messages"
REACTIONS: Final = f"{API}/chat/reactions"
DEFAULT_MESSAGES: Final = 50
_NO_STORE: Final = {"Cache-Control": "no-store"}
_TYPES: Final[dict[str, MessageType]] = {"text": "text", "file": "file", "system": "system"}


class RestChat:
    """The chat's routes of one hub."""

    def __init__(self, hub: Hub, permits: Permits) -> None:
        self._hub = hub
        self._permits = permits

    @property
    def routes(self) -> list[Route]:
        """The routes, to be put into an application."""
        return [
            Route(MESSAGES, self.messages, methods=["GET", "POST"]),
            Route(f"{MESSAGES}/{{id}}", self.message, methods=["GET", "PATCH", "DELETE"]),
            Route(REACTIONS, self.reactions, methods=["PUT", "DELETE"]),
        ]

    async def messages(self, request: Request) -> Response:
        """List a page of messages, the newest last; or say something."""
        principal, chat, thread = await self._asked(request)
        if request.method == "POST":
            return await self._send(request, principal, chat, thread)
        query = request.query_params
        limit = number(query, "limit", least=1, most=MAX_PAGE, otherwise=DEFAULT_MESSAGES)
        found = await chat.said(query.get("before"), limit, thread=thread)
        body: dict[str, Any] = {"messages": [_entry(each) for each in found], "next": None}
        headers = dict(_NO_STORE)
        if len(found) == limit:
            fields = {"document": query["document"], "limit": str(limit)}
            fields |= {"before": found[0].message.id} | ({"thread": thread} if thread else {})
            body["next"] = f"{_base(request)}{MESSAGES}?{urlencode(fields)}"
            headers["Link"] = f'<{body["next"]}>; rel="next"'
        return JSONResponse(body, headers=headers)

    async def _send(
        self, request: Request, principal: Principal, chat: Chat, thread: str
    ) -> Response:
        fields = Fields(await read_body(request))
        text, author, kind = fields.text("text"), fields.text("author"), fields.text("type")
        reply_to, url = fields.text("reply_to"), fields.text("url")
        size, media_type = fields.number("size"), fields.text("media_type")
        fields.end()
        if kind and kind not in _TYPES:
            raise Problem(400, f"type is one of {', '.join(_TYPES)}.", code="invalid-parameter")
        if size is not None and not 0 <= size < 1 << 53:
            raise Problem(400, "size is no file's.", code="invalid-parameter")
        if kind == "system" and not (principal.role is not None and principal.role.admin):
            raise Forbidden("messages of type system take an admin role")
        sent = await chat.send(
            text,
            principal,
            type=_TYPES[kind or "text"],
            author=author,
            reply_to=reply_to,
            thread=thread,
            url=url,
            size=size or 0,
            media_type=media_type,
            caller=caller_of(request),
        )
        document = request.query_params["document"]
        where = urlencode({"document": document} | ({"thread": thread} if thread else {}))
        headers = _NO_STORE | {"Location": f"{_base(request)}{MESSAGES}/{sent.id}?{where}"}
        return JSONResponse(_entry(Said(sent, {})), status_code=201, headers=headers)

    async def message(self, request: Request) -> Response:
        """Answer with one message, give it another text, or delete it."""
        principal, chat, thread = await self._asked(request)
        id, caller = request.path_params["id"], caller_of(request)
        if request.method == "DELETE":
            author = request.query_params.get("author", "")
            await chat.delete(id, principal, author=author, thread=thread, caller=caller)
            return Response(status_code=204)
        if request.method == "PATCH":
            fields = Fields(await read_body(request))
            text, author = fields.text("text", required=True), fields.text("author")
            fields.end()
            await chat.edit(id, text, principal, author=author, thread=thread, caller=caller)
        found = await chat.message(id, thread=thread)
        if found is None:
            raise Problem(404, "There is no message of this id.", code="unknown-message")
        return JSONResponse(_entry(found), headers=_NO_STORE)

    async def reactions(self, request: Request) -> Response:
        """Put one's reaction under a message, or take it back."""
        principal, chat, thread = await self._asked(request)
        query = request.query_params
        id, emoji = query.get("message", ""), query.get("emoji", "")
        author = query.get("author", "")
        change = chat.react if request.method == "PUT" else chat.unreact
        await change(id, emoji, principal, author=author, thread=thread, caller=caller_of(request))
        return Response(status_code=204)

    async def _asked(self, request: Request) -> tuple[Principal, Chat, str]:
        """Return who asks, for which chat, and which thread of it."""
        query = request.query_params
        async with self._permits.reading(request):
            document = query.get("document", "")
            check_document_name(document, max_bytes=self._hub.limits.max_document_name_bytes)
            for name in ("thread", "before"):
                if name in query and not is_message_id(query[name]):
                    raise Problem(400, f"{name} is a message's id.", code="invalid-parameter")
        principal = await self._permits.principal(request, document)
        return principal, self._hub.channels.chat(document), query.get("thread", "")


def _base(request: Request) -> str:
    return quote(request.scope.get("root_path", ""))


def _entry(said: Said) -> dict[str, Any]:
    message: Message = said.message
    return {
        "id": message.id,
        "author": message.author,
        "name": message.name,
        "text": message.text,
        "time": iso(message.time_ms),
        "type": message.type,
        "reply_to": message.reply_to or None,
        "edited": iso(message.edited_ms) if message.edited_ms else None,
        "deleted": iso(message.deleted_ms) if message.deleted_ms else None,
        "deleted_by": message.deleted_by or None,
        "file": {"url": message.url, "size": message.size, "media_type": message.media_type}
        if message.url
        else None,
        "reactions": said.reactions,
    }
