"""A function as an authenticator, and what grants give."""

import threading
from typing import Any

import anyio
import pytest

from crdtsync import CallableAuthenticator, ConnectRequest, Forbidden, Grants, Principal
from crdtsync.errors import Unauthenticated
from crdtsync.identity import authorised
from crdtsync.roles import BUILT_IN, Role

pytestmark = pytest.mark.anyio
GRANTS = Grants({"team/*": "write", "team/minutes": "read", "old": "gone"})


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test on both event loops."""
    return str(request.param)


def request(document: str = "team/plan") -> ConnectRequest:
    return ConnectRequest(document=document, token="t")


async def test_an_async_function() -> None:
    """An async function is awaited, a method and an object that is called as well."""

    async def function(request: ConnectRequest) -> Principal:
        await anyio.lowlevel.checkpoint()
        return Principal(id=request.token)

    class Directory:
        async def find(self, request: ConnectRequest) -> Principal:
            return Principal(id=request.token)

        async def __call__(self, request: ConnectRequest) -> Principal:
            return Principal(id=request.token)

    for each in (function, Directory().find, Directory(), lambda r: function(r)):
        assert (await CallableAuthenticator(each).authenticate(request())).id == "t"


async def test_any_other_function_may_block() -> None:
    """A plain function runs beside the event loop."""
    loop = threading.current_thread()
    seen: list[threading.Thread] = []

    def function(request: ConnectRequest) -> Principal:
        seen.append(threading.current_thread())
        return Principal(id="ada")

    assert (await CallableAuthenticator(function).authenticate(request())).id == "ada"
    assert seen[0] is not loop


async def test_nobody() -> None:
    """``None`` is somebody unknown; errors pass; anything else is a mistake of the program."""
    answers: list[Any] = [None, Forbidden("no"), "ada"]

    def function(request: ConnectRequest) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    authenticator = CallableAuthenticator(function)
    for expected in (Unauthenticated, Forbidden, TypeError):
        with pytest.raises(expected):
            await authenticator.authenticate(request())


async def test_grants_become_a_role() -> None:
    """The most specific pattern gives the role; where none fits there is no access."""
    authenticator = CallableAuthenticator(lambda _: Principal(id="ada", grants=GRANTS))
    plan = await authenticator.authenticate(request())
    assert plan.role is BUILT_IN["write"]
    assert not plan.read_only
    minutes = await authenticator.authenticate(request("team/minutes"))
    assert minutes.role is BUILT_IN["read"]
    assert minutes.read_only
    for document in ("mine", "old", "team"):
        with pytest.raises(Forbidden, match="no access"):
            await authenticator.authenticate(request(document))


async def test_requests_without_a_document() -> None:
    """Such a request is let in, with the role that is for all documents, or one for nothing."""
    nothing = authorised(Principal(id="ada", grants=GRANTS), "", BUILT_IN).role
    assert nothing is not None
    assert (nothing.admin, nothing.shares, nothing.reads_only) == (False, False, True)
    everywhere = Principal(id="root", grants=Grants({"*": "admin"}))
    assert authorised(everywhere, "", BUILT_IN).role is BUILT_IN["admin"]


async def test_roles_of_one_s_own() -> None:
    """A program names its own roles, and a principal without grants keeps what it has."""
    editor = Role(name="editor")
    authenticator = CallableAuthenticator(
        lambda _: Principal(grants=Grants({"*": "editor"})), roles={"editor": editor}
    )
    assert (await authenticator.authenticate(request())).role is editor
    plain = Principal(id="ada")
    assert authorised(plain, "x", {}) is plain
