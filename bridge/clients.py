"""Who is connected, and how often: limits for all and for each client.

A client is a token's subject, else an address. Behind trusted proxies the address is the one
that they say they were asked from, in RFC 7239's ``Forwarded`` or in ``X-Forwarded-For``.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_FOR = re.compile(r'(?:^|[;\s])for=("[^"]*"|[^;,\s]*)', re.IGNORECASE)
_MOST_HOPS = 32


class Clients:
    """Counts the connections of each client. ``most`` for all together, ``each`` for one."""

    def __init__(self, *, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._count: Counter[str] = Counter()
        self._all = 0

    def come(self, client: str) -> bool:
        """One connection more; False where that would be too many (nothing is counted)."""
        if self._all >= self._most or self._count[client] >= self._each:
            return False
        self._all += 1
        self._count[client] += 1
        return True

    def go(self, client: str) -> None:
        """One connection less."""
        self._all -= 1
        self._count[client] -= 1
        if not self._count[client]:
            del self._count[client]


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Trusted proxies: addresses and networks such as ``10.0.0.0/8``. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def address_of(
    peer: str,
    *,
    forwarded: Sequence[str],
    x_forwarded_for: Sequence[str],
    trusted: Sequence[Network],
) -> str:
    """The address of the client: the last one in the chain of hops that is no trusted proxy.

    ``peer`` is the other end of the TCP connection; the headers count only if it is trusted,
    and each hop only if the one that wrote it is.
    """
    chains = [_hops(forwarded, ()), _hops((), x_forwarded_for)]
    found = {_traced(peer, hops, trusted) for hops in chains if hops}
    # Of two headers that differ, one was sent by the client and passed on: none is believed.
    return found.pop() if len(found) == 1 else peer


def _traced(peer: str, hops: Sequence[str], trusted: Sequence[Network]) -> str:
    address = peer
    for hop in reversed(hops[-_MOST_HOPS:]):
        if not _is_trusted(address, trusted) or _parsed(hop) is None:
            break
        address = hop
    return address


def _hops(forwarded: Sequence[str], x_forwarded_for: Sequence[str]) -> list[str]:
    if forwarded:
        parts = ",".join(forwarded).split(",")
        found = [match[1] if (match := _FOR.search(part.strip())) else "" for part in parts]
        return [_bare(each.strip('"')) for each in found]
    if x_forwarded_for:
        return [_bare(each.strip()) for each in ",".join(x_forwarded_for).split(",")]
    return []


def _bare(node: str) -> str:
    """An address without its port: ``[2001:db8::1]:80`` and ``192.0.2.1:80`` as addresses."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    if parsed is None:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in trusted)
