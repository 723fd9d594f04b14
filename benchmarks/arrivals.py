"""Arrivals: when messages reached the clients, against when their writes were acknowledged."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def delays(log: Path, acknowledged: Mapping[int, int]) -> list[float]:
    """Milliseconds from acknowledgement to each arrival in the load client's log, sorted.

    Negative where the message was there before the writer had its acknowledgement.
    """
    found = []
    with log.open() as lines:
        for line in lines:
            number, arrival = line.split()
            if (written := acknowledged.get(int(number))) is not None:
                found.append((int(arrival) - written) / 1e6)
    return sorted(found)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of a sorted sequence lies; nan where it is empty."""
    return ordered[int(share * (len(ordered) - 1))] if ordered else float("nan")
