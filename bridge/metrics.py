"""The numbers the bridge counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """Counters and gauges, one registry per service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # What is read.
        self.changes = self._counter("changes", "Changes read from MongoDB", "watcher")
        self.restarts = self._counter(
            "stream_restarts", "Change streams opened again after an error", "stream"
        )
        self.backfills = self._counter("backfills", "Readings of the oplog for old cursors")
        self.snapshots = self._counter("snapshots", "Readings of the state of channels")
        self.failed_readings = self._counter(
            "failed_readings", "Readings that ended with an error that nobody foresaw", "reading"
        )
        # What is sent.
        self.messages = self._counter("messages", "Messages published", "watcher")
        self.refused = self._counter(
            "refused_changes",
            "Changes, or single channel names of them, that went to no channel",
            *("watcher", "reason"),
        )
        self.resyncs = self._counter(
            "resyncs", "Resyncs of a whole watcher, by reason", "watcher", "reason"
        )
        # Who is there.
        self.connections = self._gauge("connections", "Open event streams and WebSockets")
        self.waiting = self._gauge(
            "waiting_connections", "TCP connections of which no request is served", "listener"
        )
        self.cut = self._counter(
            "cut_connections",
            "TCP connections closed, or refused as malformed, before or between requests",
            *("listener", "reason"),
        )

    def exposition(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"bridge_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"bridge_{name}", text, labels, registry=self.registry)
