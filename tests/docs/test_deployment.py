"""The configurations of ``docs/deployment.md`` are accepted by the programs that they are for."""

import re
import subprocess
from pathlib import Path

import crdtsync
from crdtsync import Hub, MemoryStore
from crdtsync.config import Config
from crdtsync.limits import Limits
from crdtsync.metrics import HubCollector
from tests.needs import program

from .kit import blocks, code, page, table

PAGE = page("docs/deployment.md")
(UNIT,) = blocks(PAGE, "ini")


def accepted(*command: str, cwd: Path) -> None:
    """Run a program that checks a configuration."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd(tmp_path: Path) -> None:
    """systemd takes the unit, with a program where it says there is one."""
    analyze = program("systemd-analyze")
    unit = tmp_path / "crdtsync.service"
    unit.write_text(UNIT.replace("/opt/crdtsync/bin/crdtsync", "/bin/true"), "utf-8")
    accepted(analyze, "verify", "--man=no", str(unit), cwd=tmp_path)


def test_the_unit_fits_the_limits() -> None:
    """The unit waits longer than a shutdown may take, and has files for every connection."""
    values = dict(re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE))
    assert int(values["TimeoutStopSec"]) > Limits().drain_timeout_s + 10
    assert int(values["LimitNOFILE"]) > Limits().max_connections
    assert f"--port {Config().port}" in UNIT


def test_the_proxies_lead_to_the_default_port() -> None:
    """Every proxy and scraper on the page talks to the port that crdtsync listens on."""
    ports = set(re.findall(r"127\.0\.0\.1:(\d+)", PAGE))
    assert ports == {str(Config().port)}


def test_proxies_wait_longer_than_silence_lasts() -> None:
    """nginx's timeouts are above the longest time in which crdtsync sends nothing."""
    for seconds in re.findall(r"proxy_(?:read|send)_timeout (\d+)s", PAGE):
        assert int(seconds) > 60 > Limits().keepalive_s


def test_alarms_are_about_metrics_that_exist() -> None:
    """Each expression names a metric, and a label that it has."""
    kinds = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    known = {
        family.name + ending
        for family in HubCollector(Hub(MemoryStore())).collect()
        for ending in kinds.get(family.type, ())
    }
    for row in table(PAGE, "Expression"):
        names = re.findall(r"crdtsync_\w+", row[0])
        assert names
        assert set(names) <= known


def test_what_is_beside_the_store() -> None:
    """The table of files has each database that a server keeps beside its store."""
    folder = Path(crdtsync.__file__).parent
    sources = "".join(path.read_text("utf-8") for path in folder.rglob("*.py"))
    files = set(re.findall(r'^FILE: Final = "([a-z]+\.db)"$', sources, re.MULTILINE))
    assert files == {code(row[0])[0] for row in table(PAGE, "File", "Holds")}
