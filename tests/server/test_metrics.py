"""Metrics: the documented ones exist, the existing ones are documented, and they count."""

import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.metrics import HubCollector, Metrics
from crdtsync.stats import Histogram, Stats

from .conftest import sample

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[2] / "docs" / "http.md"


def documented() -> dict[str, str]:
    """Return name and type of every metric in the table of the documentation."""
    rows = re.findall(r"^\| `(crdtsync_\w+)` \| (\w+) \|", DOCS.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


def samples(text: str) -> dict[str, float]:
    """Return every sample of an exposition, by name and labels."""
    return {
        sample.name + "".join(f"[{value}]" for _, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_documentation_names_every_metric(hub: Hub) -> None:
    """The table in the documentation is exactly what the collector yields."""
    kinds = {"counter": "_total", "info": "_info"}
    found = {
        family.name + kinds.get(family.type, ""): family.type.replace("info", "gauge")
        for family in HubCollector(hub).collect()
    }
    assert found == documented()


async def test_every_counter_is_exported(hub: Hub) -> None:
    """A counter that the engine keeps changes some metric: none is kept in vain."""
    names = [name for name in Stats.__slots__ if name != "connections_closed"]
    for name in names:
        before = _values(hub)
        value = getattr(hub.stats, name)
        match value:
            case Histogram():
                value.observe(1)
            case dict():
                value["x"] += 1
            case _:
                setattr(hub.stats, name, value + 1)
        assert _values(hub) != before, name


def _values(hub: Hub) -> dict[str, float]:
    text = Metrics(hub).exposition()[0].decode()
    return {key: value for key, value in samples(text).items() if key.startswith("crdtsync_")}


async def test_they_count(hub: Hub, http: httpx.AsyncClient) -> None:
    """A committed update shows in the metrics."""
    await hub.edit("a", sample().get_update(), Principal())
    hub.stats.rejected["unauthenticated"] += 2
    values = samples((await http.get("/metrics")).text)
    assert values["crdtsync_updates_committed_total"] == 1
    assert values["crdtsync_rejected_total[unauthenticated]"] == 2
    assert values["crdtsync_rooms"] == 1
    assert values["crdtsync_commit_seconds_count"] == 1
    assert values["crdtsync_commit_updates_bucket[1.0]"] == 1
    assert values["crdtsync_commit_updates_bucket[+Inf]"] == 1
    assert values["process_resident_memory_bytes"] > 0


async def test_histograms_are_cumulative(hub: Hub) -> None:
    """Each bucket counts everything up to its end, and the last one everything."""
    for value in (1, 3, 3, 100_000):
        hub.stats.commit_updates.observe(value)
    values = samples(Metrics(hub).exposition()[0].decode())
    buckets = {
        key: value for key, value in values.items() if key.startswith("crdtsync_commit_updates_b")
    }
    assert buckets["crdtsync_commit_updates_bucket[1.0]"] == 1
    assert buckets["crdtsync_commit_updates_bucket[4.0]"] == 3
    assert buckets["crdtsync_commit_updates_bucket[4096.0]"] == 3
    assert buckets["crdtsync_commit_updates_bucket[+Inf]"] == 4
    assert values["crdtsync_commit_updates_sum"] == 100_007


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
        (
            "application/openmetrics-text; version=none",
            "application/openmetrics-text; version=1.0.0",
        ),
        ("text/plain; version=none", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text",
        ),
    ],
)
async def test_the_format_is_negotiated(
    http: httpx.AsyncClient, accept: str, content_type: str
) -> None:
    """OpenMetrics for those who ask for it, in the one version that is written, else plain text."""
    response = await http.get("/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(content_type)
    assert response.text.endswith("# EOF\n") == content_type.startswith("application")


async def test_two_hubs_do_not_share_metrics(hub: Hub) -> None:
    """A second application in the process registers without a clash."""
    first, second = Metrics(hub), Metrics(hub)
    assert first.registry is not second.registry
    assert b"crdtsync_rooms" in second.exposition()[0]
