"""The numbers the bridge counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """Counters and gauges, one registry per service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.changes = Counter(
            "bridge_changes", "Changes read from MongoDB", ["watcher"], registry=self.registry
        )
        self.messages = Counter(
            "bridge_messages", "Messages published", ["watcher"], registry=self.registry
        )
        self.refused = Counter(
            "bridge_refused_changes",
            "Changes, or single channel names of them, that went to no channel",
            ["watcher", "reason"],
            registry=self.registry,
        )
        self.resyncs = Counter(
            "bridge_resyncs",
            "Resyncs of a whole watcher, by reason",
            ["watcher", "reason"],
            registry=self.registry,
        )
        self.restarts = Counter(
            "bridge_stream_restarts",
            "Change streams opened again after an error",
            ["stream"],
            registry=self.registry,
        )
        self.connections = Gauge(
            "bridge_connections", "Open event streams and WebSockets", registry=self.registry
        )
        self.waiting = Gauge(
            "bridge_waiting_connections",
            "TCP connections of which no request is being served",
            ["listener"],
            registry=self.registry,
        )
        self.cut = Counter(
            "bridge_cut_connections",
            "TCP connections closed, or refused as malformed, before or between requests",
            ["listener", "reason"],
            registry=self.registry,
        )
        self.backfills = Counter(
            "bridge_backfills", "Readings of the oplog for old cursors", registry=self.registry
        )
        self.snapshots = Counter(
            "bridge_snapshots", "Readings of the state of channels", registry=self.registry
        )
        self.failed_readings = Counter(
            "bridge_failed_readings",
            "Readings that ended with an error that nobody foresaw",
            ["reading"],
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self.registry)
