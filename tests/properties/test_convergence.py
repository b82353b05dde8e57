"""Whatever the network, the disk and the server do, all clients end with the same document."""

from dataclasses import asdict

import anyio
from hypothesis import note
from hypothesis import strategies as st

from crdtsync.limits import Limits
from tests.portions import small_portions
from tests.properties.edits import Dice, content, edit
from tests.properties.profile import checked
from tests.properties.world import Client, World, ids, virtual_time

NAMES = ["Ada", "Ben", "Cy"]
NUMBERS = [1, 300, 4_000_000_000]
RENEWALS = 3
"""A client renews its awareness state every 15 s. The first time repairs what a removal and a
return that nobody told it about have put ahead of its own clock."""
PAUSES_S = [0.0, 0.001, 0.003, 0.06, 1.1, 3.0]

limits = st.builds(
    Limits,
    max_merge=st.sampled_from([512, 1, 3]),
    max_frame_bytes=st.sampled_from([1 << 20, 40, 200]),
    max_message_bytes=st.sampled_from([1 << 26, 30]),
    max_backlog_log_bytes=st.sampled_from([1 << 24, 0, 100]),
    max_backlog_bytes=st.sampled_from([1 << 20, 100]),
    max_pending_bytes=st.sampled_from([1 << 24, 10]),
    max_tail_updates=st.sampled_from([2_000, 0, 3]),
    max_log_records=st.sampled_from([2_000, 1, 5]),
    max_held_updates=st.sampled_from([1_000, 0, 1]),
    commit_interval_s=st.sampled_from([0.0025, 0.0]),
    idle_room_s=st.sampled_from([30.0, 1.0]),
)


class Story:
    """Steps, read from bytes, done to a world and told."""

    def __init__(self, world: World, data: bytes) -> None:
        self.world = world
        self.dice = Dice(data)
        self.told: list[str] = []
        self.clients = [
            Client(name, number, acknowledge=name == "Cy")
            for name, number in zip(NAMES, NUMBERS, strict=True)
        ]

    async def play(self) -> None:
        await self.world.start()
        for client in self.clients:
            self.world.connect(client)
        if self.dice.roll(4) == 3:
            self.tell("The document is kept verbatim.")
            await self.world.keep_verbatim()
        while self.dice.left:
            await self.step()
        await self.end()

    def tell(self, line: str) -> None:
        self.told.append(line)

    async def step(self) -> None:
        kind = self.dice.roll(64)
        client: Client = self.dice.pick(self.clients)
        name, world, link = client.name, self.world, client.link
        count = 1 + self.dice.roll(4)
        if kind == 0:
            return
        if kind < 24:
            with client.doc.transaction():
                for _ in range(1 + count // 4):
                    self.tell(f"{name} edits {edit(client.doc, self.dice)}")
        elif kind < 32:
            self.tell(f"{count} frames of {name} arrive.")
            world.send(client, count)
        elif kind < 38:
            self.tell(f"{name} hears {count} frames.")
            world.deliver(client, count)
        elif kind < 44:
            pause_s = self.dice.pick(PAUSES_S)
            self.tell(f"{pause_s} s pass.")
            await anyio.sleep(pause_s)
        elif kind < 46:
            delay_s = self.dice.pick([0.0, 0.005, 0.5])
            self.tell(f"The disk takes {delay_s} s from now on.")
            world.store.delay_s = delay_s
        elif kind == 46:
            world.store.failing = not world.store.failing
            self.tell("The disk fails." if world.store.failing else "The disk works again.")
        elif kind == 47:
            pause_s = self.dice.pick([1.0, 7.0])
            self.tell(f"The disk fails for {pause_s} s.")
            world.store.failing = True
            await anyio.sleep(pause_s)
            world.store.failing = False
        elif kind == 48:
            self.tell("The server restarts.")
            await world.restart()
            await self.nothing_shown_is_lost()
        elif kind == 49:
            self.tell("The server crashes.")
            await world.crash()
            await self.nothing_shown_is_lost()
        elif kind == 50:
            self.tell("The server misses who has gone.")
            world.bury()
        elif kind == 51:
            other: Client = self.dice.pick(self.clients)
            self.tell(f"{other.name} gets everything from {name} behind the server's back.")
            other.doc.apply_update(client.doc.get_update(other.doc.get_state()))
        elif link is None:
            self.tell(f"{name} connects.")
            world.connect(client)
        elif kind < 54:
            noticed = bool(self.dice.roll(3))
            self.tell(f"{name} loses the connection{'' if noticed else ', the server not yet'}.")
            world.drop(client, noticed=noticed)
        elif kind < 57:
            if link.blocked:
                self.tell(f"{name}'s socket drains.")
                link.capacity = 1_000_000
                link.unblock()
            elif not link.code:
                self.tell(f"{name}'s socket is full.")
                link.block()
        elif kind == 57:
            self.tell(f"{name}'s socket takes {count} frames.")
            link.capacity = count
        elif kind == 58:
            self.tell(f"{name} asks for what it lacks.")
            client.ask()
        elif kind == 59:
            self.tell(f"{name} sends everything again.")
            client.send_everything()
        elif kind == 60:
            self.tell(f"{name} moves the cursor.")
            client.renew()
        elif kind == 61:
            self.tell(f"{name} sends the last frame twice.")
            client.up.extend(list(client.up)[-1:])
        else:
            self.tell(f"Everything under way for {name} arrives.")
            world.send(client, 1000)
            await anyio.sleep(0.1)
            world.deliver(client, 1000)

    async def nothing_shown_is_lost(self) -> None:
        structs, deletes = ids((await self.world.document()).get_update())
        assert self.world.structs_shown <= structs
        assert self.world.deletes_shown <= deletes

    async def end(self) -> None:
        self.tell("All comes to rest.")
        await self.world.settle(self.clients)
        for _ in range(RENEWALS):
            for client in self.clients:
                client.renew()
            await self.world.settle(self.clients)
        joiner = Client("a newcomer", 77)
        self.clients.append(joiner)
        self.world.connect(joiner)
        everybody = self.clients
        await self.world.settle(everybody)
        assert not self.world.hub.stats.rejected, dict(self.world.hub.stats.rejected)

        server = await self.world.document()
        wanted, known = content(server), ids(server.get_update())
        for client in everybody:
            assert not client.early, f"{client.name} waits for something"
            assert content(client.doc) == wanted, client.name
            assert ids(client.doc.get_update()) == known, client.name
            others = {each.number for each in everybody if each is not client}
            assert client.present.keys() == others, client.name
        await self.world.restart()
        assert content(await self.world.document()) == wanted


def _unusual(limits: Limits) -> str:
    usual = asdict(Limits())
    changed = {name: value for name, value in asdict(limits).items() if value != usual[name]}
    return f"Limits: {changed}"


async def _play(limits: Limits, data: bytes) -> None:
    async with anyio.create_task_group() as tasks:
        world = World(tasks, limits)
        story = Story(world, data)
        try:
            await story.play()
        finally:
            note("\n".join([_unusual(limits), *story.told]))
            for client in story.clients:
                client.forget()
        await world.stop()


@checked(700, limits=limits, data=st.binary(min_size=100, max_size=500))
def test_all_clients_converge(limits: Limits, data: bytes) -> None:
    """Clients that lose connections, lag, resend and survive crashes end with one document."""
    anyio.run(_play, limits, data, backend_options=virtual_time())


@checked(200, limits=limits, data=st.binary(min_size=100, max_size=500))
def test_they_converge_where_updates_come_by_portions(limits: Limits, data: bytes) -> None:
    """The same where each update of several structs is let in by portions."""
    with small_portions(here=True):
        anyio.run(_play, limits, data, backend_options=virtual_time())
