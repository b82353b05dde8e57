"""The hub's counters as Prometheus metrics, made when somebody asks and not before.

Owns the names and their meaning; counting is the engine's (``stats``). Knows the hub by the
few attributes that it reads, so that it stands below it.
"""

from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from crdtsync.audit import Audit
from crdtsync.guard import Guard
from crdtsync.refused.base import Quarantine, QuarantineStats
from crdtsync.stats import Histogram, HistoryStats, Stats
from crdtsync.store.base import Store

__all__ = [
    "HubCollector",
    "Metrics",
    "ObservedConnection",
    "ObservedHistory",
    "ObservedHub",
    "ObservedRoom",
    "package_version",
]


_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class ObservedConnection(Protocol):
    """What is read of a connection."""

    @property
    def blocked(self) -> bool: ...

    @property
    def unsettled_bytes(self) -> int: ...


class ObservedRoom(Protocol):
    """What is read of a room."""

    @property
    def connections(self) -> Collection[ObservedConnection]: ...

    @property
    def degraded(self) -> str: ...


class ObservedHistory(Protocol):
    """What is read of histories."""

    @property
    def stats(self) -> HistoryStats: ...


class ObservedHub(Protocol):
    """What is read of a hub."""

    @property
    def stats(self) -> Stats: ...

    @property
    def store(self) -> Store: ...

    @property
    def rooms(self) -> Mapping[str, ObservedRoom]: ...

    @property
    def draining(self) -> bool: ...

    @property
    def guard(self) -> Guard: ...

    @property
    def quarantine(self) -> Quarantine: ...

    @property
    def audit(self) -> Audit: ...

    @property
    def history(self) -> ObservedHistory | None: ...


def package_version() -> str:
    """Return the installed version of crdtsync; ``0`` where it runs from a bare folder."""
    try:
        return version("crdtsync")
    except PackageNotFoundError:
        return "0"


class Metrics:
    """One hub's metrics in a registry of their own, beside those of the process."""

    def __init__(self, hub: ObservedHub) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(HubCollector(hub))
        ProcessCollector(registry=self.registry)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics and their content type: OpenMetrics where ``accept`` names it.

        Whatever version it names: the library would try to write in that one, and repeats it.
        """
        wanted = _OPENMETRICS if _OPENMETRICS.partition(";")[0] in accept else ""
        encode, content_type = choose_encoder(wanted)
        return encode(self.registry), content_type


class HubCollector(Collector):
    """Reads a hub at each scrape. Every name here is in the table of ``docs/http.md``."""

    def __init__(self, hub: ObservedHub) -> None:
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        """Return every family, the empty ones too, so that a dashboard finds them."""
        hub = self._hub
        info = {
            "version": package_version(),
            "store": hub.store.url.partition(":")[0],
            "durability": hub.store.durability,
        }
        yield InfoMetricFamily("crdtsync", "What is running.", value=info)
        yield from _gauges(hub)
        yield _received(hub)
        yield from _traffic(hub.stats)
        yield from _refusals(hub.stats, hub.quarantine.stats)
        yield from _work(hub.stats)
        yield from _history(HistoryStats() if hub.history is None else hub.history.stats)


def _gauges(hub: ObservedHub) -> Iterable[Metric]:
    rooms = hub.rooms.values()
    connections = [connection for room in rooms for connection in room.connections]
    lagging = sum(1 for connection in connections if connection.blocked)
    degraded = sum(1 for room in rooms if room.degraded)
    yield _gauge("connections", "Connections now.", len(connections))
    yield _gauge("connections_lagging", "Connections whose socket takes no more now.", lagging)
    yield _gauge("rooms", "Documents that are open now.", len(hub.rooms))
    yield _gauge("rooms_degraded", "Open documents that can't be stored now.", degraded)
    yield _gauge(
        "documents_quarantined", "Documents that nobody gets now.", len(hub.guard.listed())
    )
    yield _counter("audit_lost", "Events that the audit log could not write.", hub.audit.lost)
    yield _gauge("draining", "1 while the server shuts down.", int(hub.draining))


def _received(hub: ObservedHub) -> Metric:
    received = hub.stats.bytes_in
    for room in hub.rooms.values():
        received += sum(connection.unsettled_bytes for connection in room.connections)
    return _counter("received_bytes", "Bytes of messages received.", received)


def _traffic(stats: Stats) -> Iterable[Metric]:
    yield _counter("connections_opened", "Connections ever opened.", stats.connections_total)
    yield _counter("sent_bytes", "Bytes of messages sent.", stats.bytes_out)
    yield _counter("messages_sent", "Messages sent, merged ones as one.", stats.frames_out)
    yield _counter("updates_received", "Updates received.", stats.updates_in)
    yield _counter(
        "updates_delivered", "Updates sent: one per update and connection.", stats.updates_out
    )
    yield _counter(
        "updates_duplicate", "Updates that brought nothing new.", stats.updates_duplicate
    )
    yield _counter(
        "updates_held", "Updates that had to wait for a missing one.", stats.updates_held
    )
    yield _counter("awareness_received", "Awareness messages received.", stats.awareness_in)
    yield _counter("awareness_sent", "Awareness messages sent.", stats.awareness_out)
    yield _counters("messages_ignored", "Messages not understood.", "type", stats.messages_ignored)
    yield _counter("slowed", "Times that a client which sent too fast was slowed.", stats.slowed)
    yield _counters("rejected", "Connections and messages refused.", "reason", stats.rejected)


def _refusals(stats: Stats, kept: QuarantineStats) -> Iterable[Metric]:
    yield _counters("updates_refused", "Updates that may not enter.", "kind", stats.updates_refused)
    yield _gauge(
        "quarantine_entries", "Entries of the quarantine of refused updates.", kept.entries
    )
    yield _gauge("quarantine_bytes", "Bytes of the refused updates in it.", kept.size)
    yield _counter("quarantine_kept", "Refused updates that were kept.", kept.kept)
    yield _counter(
        "quarantine_duplicates", "Refused updates that were kept already.", kept.duplicates
    )
    yield _counters(
        "quarantine_dropped", "Refused updates that were dropped over a limit.", "cause", kept.lost
    )


def _work(stats: Stats) -> Iterable[Metric]:
    yield _counter("updates_committed", "Updates made durable.", stats.updates_committed)
    yield _histogram("commit_updates", "Updates of one commit.", stats.commit_updates)
    yield _histogram("commit_seconds", "Seconds that a commit took.", stats.commit_seconds)
    yield _counter(
        "integration_seconds",
        "Seconds spent on bringing updates into documents in memory.",
        stats.integration_seconds,
    )
    yield _counter("integration_errors", "Updates that the CRDT refused.", stats.integration_errors)
    yield _counter("gate_errors", "Decisions that a custom gate failed at.", stats.gate_errors)
    yield _counter("restarts", "Deaths of the server that its supervisor saw.", stats.restarts)
    yield _counters("store_errors", "Failed store operations.", "operation", stats.store_errors)


def _history(stats: HistoryStats) -> Iterable[Metric]:
    yield _counter("history_folds", "Times that a log went into its history.", stats.folds)
    yield _counter("history_fold_seconds", "Seconds that this took.", stats.fold_seconds)
    yield _counter("history_versions", "Versions made by the server itself.", stats.versions)
    yield _counter("history_pruned", "Moments that were let go.", stats.pruned)
    yield _gauge("history_bytes", "Bytes that all histories take.", stats.size)
    yield _counters("history_errors", "What went wrong with histories.", "kind", stats.errors)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"crdtsync_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"crdtsync_{name}", text, value=value)


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"crdtsync_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(f"crdtsync_{name}", text)
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), below))
    family.add_metric([], buckets=buckets, sum_value=histogram.total)
    return family
