"""``crdtsync serve``: run a server until it is told to stop."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from crdtsync.cli.logs import configure_logging
from crdtsync.cli.options import Command, with_config
from crdtsync.cli.output import drop_unwritten, on_terminal
from crdtsync.config import GROUPS, Resolved
from crdtsync.supervisor import can_supervise, supervise
from crdtsync.supervisor.listen import check_exposure

if TYPE_CHECKING:
    from crdtsync.server.serve import Listening

__all__ = ["announcement", "connect_lines", "serve"]

_ANY_ADDRESS: Final = {"0.0.0.0", "::"}

log = logging.getLogger(__name__)


@click.command(cls=Command)
@with_config(*GROUPS)
def serve(resolved: Resolved) -> None:
    """Run the server.

    Every option may also be a CRDTSYNC_* variable or a line of a TOML file: the command line
    wins over variables, they over the file. `crdtsync config` shows the outcome. SIGTERM and
    Ctrl-C commit what has arrived, send the clients away to come back, and stop. A server that
    dies is started again by its supervisor, a small process that has the port meanwhile.
    """
    config = resolved.config
    configure_logging(config.log_level, config.log_format)
    check_exposure(config)
    notes: tuple[str, ...] = ()
    if config.auth == "none" and config.allow_anonymous:
        notes = ("whoever reaches this address may read and write everything",)
    supervised = None
    if config.supervise and can_supervise():
        supervised = supervise(config)  # returns in the serving process only
    elif config.supervise:
        notes += ("this system has no supervisor: a server that dies is not started again",)

    # Here, because it takes half the start-up time of the commands that don't need it, and is
    # what makes the serving process large.
    from crdtsync.server.serve import run

    def started(listening: "Listening") -> None:
        if supervised is not None and supervised.restarts:
            log.warning("serving again; deaths so far: %d", supervised.restarts)
            return
        listening = replace(listening, notes=(*listening.notes, *notes))
        try:
            _announce(listening, host=config.host, as_log=config.log_format == "json")
        except OSError as error:  # a full disk, or a pipe that nobody reads
            drop_unwritten()
            log.warning("can't say on standard output where it listens: %s", error)

    run(config, started=started, supervised=supervised)


def _announce(listening: "Listening", *, host: str, as_log: bool) -> None:
    if as_log:
        # Standard output stays empty: whoever collects both streams gets nothing but JSON.
        log.info(
            "listening",
            extra={
                "urls": list(listening.urls),
                "unix_socket": listening.unix_socket,
                "store": listening.store_url,
                "durability": listening.durability,
                "transport": listening.transport,
                "notes": list(listening.notes),
            },
        )
        return
    lines = announcement(listening)
    connect = connect_lines(listening, host)
    if on_terminal():
        from rich.console import Console
        from rich.panel import Panel
        from rich.text import Text

        body = Text("\n".join([*lines, *(["", *connect] if connect else [])]))
        Console().print(Panel(body, title="crdtsync", title_align="left", expand=False))
        return
    click.echo("\n".join([*lines, *connect]))


def announcement(listening: "Listening") -> list[str]:
    """Say where the server listens and what it promises, one fact per line."""
    lines = [f"listening on {url}" for url in listening.urls]
    if listening.unix_socket is not None:
        lines.append(f"listening on unix socket {listening.unix_socket}")
    lines.append(f"store {listening.store_url}, durability {listening.durability}")
    lines.append(f"transport {listening.transport}{', TLS' if listening.tls else ''}")
    return lines + [f"note: {text}" for text in listening.notes]


def connect_lines(listening: "Listening", host: str) -> list[str]:
    """Return the JavaScript that connects to this server; nothing for a unix socket alone.

    ``host`` is the configured one: a name is what a certificate and other machines know.
    """
    if not listening.urls:
        return []
    if host in _ANY_ADDRESS:
        host = "localhost"
    elif ":" in host:
        host = f"[{host}]"
    scheme = "wss" if listening.tls else "ws"
    url = f"{scheme}://{host}:{urlsplit(listening.urls[0]).port}"
    return [
        "import * as Y from 'yjs'",
        "import { WebsocketProvider } from 'y-websocket'",
        f"new WebsocketProvider('{url}', 'my-document', new Y.Doc())",
    ]
