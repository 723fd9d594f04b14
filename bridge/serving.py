"""What every client is served from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bridge.audience import Interest
from bridge.channels import Channels
from bridge.connections import Connections
from bridge.door import Door
from bridge.events import Cursor
from bridge.hub import Hub
from bridge.outlet import Outlet
from bridge.reader import Backfills
from bridge.snapshots import Snapshots
from bridge.subscription import Subscription

_Made = TypeVar("_Made", bound=Subscription)


@dataclass(frozen=True, slots=True)
class Serving:
    """The parts of a bridge that its listener puts together for each client."""

    hub: Hub
    channels: Channels
    backfills: Backfills
    snapshots: Snapshots
    connections: Connections
    door: Door

    def subscription(
        self,
        make: Callable[..., _Made],
        *,
        outlet: Outlet,
        interest: Interest,
        cursor: Cursor | None,
        state: bool,
    ) -> _Made:
        """What serves the interest from the cursor on (``state``: from the state, without one).

        Raises BadCursor for a bare position that lies in the future.
        """
        limits = self.connections.limits
        place, lost = self.channels.place(cursor, [feed for feed, _ in interest.feeds])
        return make(
            outlet=outlet,
            hub=self.hub,
            backfills=self.backfills,
            interest=interest,
            place=place,
            lost=lost,
            snapshots=self.snapshots if state else None,
            period=limits.period,
            max_write=limits.write_buffer,
        )
