"""One event stream: a subscription on a socket of its own, and its goodbye."""

from bridge import frames
from bridge.outlet import Outlet
from bridge.subscription import Subscription
from bridge.wire import Wire


class Connection:
    """One client's stream of events, from ``ready`` to ``bye``."""

    __slots__ = (
        "__weakref__",
        "_farewell",
        "_outlet",
        "_subscription",
        "_wire",
        "serve",
        "session",
    )

    def __init__(
        self, *, session: str, outlet: Outlet, wire: Wire, subscription: Subscription
    ) -> None:
        self.session = session
        self.serve = subscription.run
        """Serves until the end has come; not a method: that would cost idle clients 400 bytes."""
        self._subscription = subscription
        self._outlet = outlet
        self._wire = wire
        self._farewell = b""

    def open(self, events: bytes) -> None:
        """Writes the first events."""
        self._outlet.write(self._wire.whole(events))

    def close(self) -> None:
        """Writes the goodbye."""
        self._outlet.write(self._wire.whole(self._farewell))

    def end(self, code: str, *, reconnect: bool, delay: int) -> None:
        """Asks it to say goodbye (the delay in ms) and end, after what is being written."""
        if not self._farewell:
            self._farewell = frames.bye(self._wire, code, reconnect=reconnect, delay=delay)
            self._subscription.stop()

    def abort(self) -> None:
        """Cuts the TCP connection without a word."""
        self._outlet.abort()

    def check(self, now: float, patience: float) -> None:
        """Cuts a client that takes nothing; keeps one that is catching up from timing out."""
        if now - self._outlet.stuck_since(now) > patience:
            self.abort()
        else:
            self._subscription.beat(now)
