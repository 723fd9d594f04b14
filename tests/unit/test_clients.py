"""Who is connected, and how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.clients import Clients, address_of, networks

TRUSTED = networks(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "x_forwarded_for", "address"),
    [
        ("192.0.2.9", [], [], "192.0.2.9"),
        ("192.0.2.9", [], ["198.51.100.1"], "192.0.2.9"),  # the peer is nobody we trust
        ("10.1.2.3", [], ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", [], ["203.0.113.5, 198.51.100.1"], "198.51.100.1"),  # the first is a claim
        ("10.1.2.3", [], ["198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", [], ["198.51.100.1", "10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", [], ["10.8.8.8, 10.9.9.9"], "10.8.8.8"),
        ("10.1.2.3", [], ["198.51.100.1:5555"], "198.51.100.1"),
        ("10.1.2.3", [], ["nonsense"], "10.1.2.3"),
        ("10.1.2.3", [], [""], "10.1.2.3"),
        ("10.1.2.3", ["for=198.51.100.1;proto=https"], [], "198.51.100.1"),
        ("10.1.2.3", ["for=198.51.100.1"], ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["for=198.51.100.1"], ["203.0.113.5"], "10.1.2.3"),  # one is a client's
        ("10.1.2.3", ['by=x; For="[2a00::17]:80"'], [], "2a00::17"),
        ("10.1.2.3", ["for=203.0.113.5, for=10.4.4.4"], [], "203.0.113.5"),
        ("10.1.2.3", ["for=_hidden"], [], "10.1.2.3"),
        ("::ffff:10.1.2.3", [], ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8::1", [], ["2a00::17"], "2a00::17"),
        ("", [], ["198.51.100.1"], ""),
    ],
)
def test_the_address_is_the_last_that_no_trusted_proxy_stands_for(
    peer: str, forwarded: list[str], x_forwarded_for: list[str], address: str
) -> None:
    found = address_of(peer, forwarded=forwarded, x_forwarded_for=x_forwarded_for, trusted=TRUSTED)
    assert found == address


@given(st.lists(st.text(max_size=40), max_size=4), st.lists(st.text(max_size=40), max_size=4))
def test_no_header_makes_it_fail_or_moves_a_client_that_nobody_vouches_for(
    forwarded: list[str], x_forwarded_for: list[str]
) -> None:
    for peer in ("10.1.2.3", "192.0.2.9"):
        found = address_of(
            peer, forwarded=forwarded, x_forwarded_for=x_forwarded_for, trusted=TRUSTED
        )
        assert peer in ("10.1.2.3", found)


def test_each_client_and_all_together_have_a_limit() -> None:
    clients = Clients(most=3, each=2)
    assert [clients.come("a"), clients.come("a"), clients.come("a")] == [True, True, False]
    assert [clients.come("b"), clients.come("c")] == [True, False]
    clients.go("a")
    assert clients.come("c")
    assert not clients.come("a")
