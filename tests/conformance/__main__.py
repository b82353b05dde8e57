"""``python -m tests.conformance``: run the Autobahn test suite against crdtsync's transports."""

import asyncio
import datetime
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import click
import uvloop

from crdtsync.config import Config

from . import suite
from .endpoint import echo_server
from .summary import RESULTS, Summary, refresh

_CASES: Final = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*")
_COMPRESSION: Final = ("12.*", "13.*")
_BELOW: Final = {"native": ("picows",), "asgi": ("hypercorn", "wsproto")}


@click.command()
@click.option(
    "--transport",
    type=click.Choice(["native", "asgi", "both"]),
    default="both",
    show_default=True,
    help="What is tested.",
)
@click.option(
    "--loop",
    type=click.Choice(["uvloop", "asyncio"]),
    default="uvloop",
    show_default=True,
    help="The event loop below it.",
)
@click.option("--tls", is_flag=True, help="Connect by TLS, with a certificate made for the run.")
@click.option("--compression", is_flag=True, help="Run groups 12 and 13 in place of all others.")
@click.option("--cases", help="Run these alone: patterns with commas between, such as 7.*,9.1.1.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    default=suite.CACHE / "reports",
    help="Where the suite's report and the summary go.",
)
@click.option("--keep", is_flag=True, help="Keep the summary for docs/conformance.md, fill that.")
def main(
    transport: str,
    loop: str,
    tls: bool,
    compression: bool,
    cases: str | None,
    report: Path,
    keep: bool,
) -> None:
    """Run the Autobahn test suite. Exit with 1 where a case fails, with 2 where it can't run."""
    if keep and cases:
        raise click.UsageError("--keep is for whole runs, without --cases")
    picked = tuple(cases.split(",")) if cases else _COMPRESSION if compression else _CASES
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    failed = 0
    try:
        python = suite.find_python()
        folder = suite.install(python, lambda line: click.echo(line, err=True))
        for each in ("native", "asgi") if transport == "both" else (transport,):
            name = "-".join(
                [each, *(["tls"] if tls else []), *(["compression"] if compression else [])]
            )
            out = (report / name).absolute()
            config = Config(host="127.0.0.1", port=0, transport=each, **_tls(out) if tls else {})
            with asyncio.Runner(loop_factory=factory) as runner:
                index = runner.run(_run(python, folder, config, picked, out))
            summary = Summary.of(
                index,
                server=_about(each, loop, config),
                command=_command(each, loop, picked, tls=tls),
                date=datetime.date.today().isoformat(),
            )
            summary.write(out, "summary")
            if keep:
                summary.write(RESULTS, name)
            click.echo(f"{name}: {out / 'index.html'}\n\n{_text(summary)}\n")
            failed += summary.total("failed")
    except suite.SuiteFailed as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    if keep:
        refresh()
    sys.exit(1 if failed else 0)


async def _run(
    python: str, folder: Path, config: Config, cases: tuple[str, ...], out: Path
) -> Path:
    async with echo_server(config) as listening:
        url = listening.urls[0].replace("http", "ws", 1) + "/echo"
        return await suite.run(python, folder, url=url, cases=cases, out=out)


def _tls(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = str(folder / "key.pem"), str(folder / "cert.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return {"certfile": certificate, "keyfile": key}


def _about(transport: str, loop: str, config: Config) -> dict[str, str]:
    about = {
        "transport": transport,
        "loop": loop,
        "TLS": "yes" if config.tls else "no",
        "max_message_bytes": str(config.limits.max_message_bytes),
        "Python": platform.python_version(),
    }
    about |= {name: importlib.metadata.version(name) for name in _BELOW[transport]}
    return {**about, "autobahntestsuite": suite.VERSION}


def _command(transport: str, loop: str, picked: tuple[str, ...], *, tls: bool) -> str:
    words = ["python -m tests.conformance --transport", transport]
    words += [] if loop == "uvloop" else ["--loop", loop]
    words += ["--tls"] if tls else []
    if picked == _COMPRESSION:
        words.append("--compression")
    elif picked != _CASES:
        words.append(f"--cases '{','.join(picked)}'")
    return " ".join(words)


def _text(summary: Summary) -> str:
    rows = summary.rows()
    first = max(len(row[0]) for row in rows)
    lines = [
        row[0].ljust(first)
        + "".join(
            cell.rjust(len(head) + 2) for cell, head in zip(row[1:], rows[0][1:], strict=True)
        )
        for row in rows
    ]
    for column, groups in summary.others.items():
        if column != "unimplemented":
            lines += [f"{column} in {group}: {', '.join(cases)}" for group, cases in groups.items()]
    return "\n".join(lines)


main()
