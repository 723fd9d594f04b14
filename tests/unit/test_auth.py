"""Who comes in by what, and what a page may do with its user's cookies."""

from collections.abc import Sequence

import pytest

from bridge.auth import Access, Anonymous, Gate, Grant, bearer_of, cookie_counts
from bridge.errors import ConfigError, NotThere, Unauthorized
from bridge.tokens import Tickets, Tokens

SECRET = "an example of a secret that has 32 bytes"
NOW = 1_800_000_000


def test_nothing_is_readable_without_patterns() -> None:
    access: Access = Anonymous()
    assert not access.may_read("todos:acme")


@pytest.mark.parametrize(
    ("channel", "readable"),
    [
        ("public:news", True),
        ("public:news:old", False),
        ("demo:a:b", True),
        ("status", True),
        ("statuses", False),
        ("private:news", False),
        ("", False),
        ("public:a\nb", False),
    ],
)
def test_a_client_without_token_reads_what_a_configured_pattern_matches(
    channel: str, readable: bool
) -> None:
    access = Anonymous(patterns=["public:*", "demo:**", "status"])
    assert access.may_read(channel) is readable


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="channel pattern ''"):
        Anonymous(patterns=["public:*", ""])


def tokens() -> Tokens:
    return Tokens(secret=SECRET, clock=lambda: NOW)


def gate(*, anonymous: Sequence[str] = ("public:*",), tickets: bool = True) -> Gate:
    return Gate(
        anonymous=Anonymous(patterns=anonymous),
        tokens=tokens(),
        tickets=Tickets(secret=SECRET, clock=lambda: NOW) if tickets else None,
    )


def token(channel: str = "todos:*", subject: str = "ann") -> str:
    return tokens().mint(channels=[channel], ttl=100, subject=subject)


async def test_who_shows_nothing_reads_the_anonymous_channels_for_ever() -> None:
    grant = await gate().admit()

    assert (grant.subject, grant.expires) == ("", None)
    assert grant.may_read("public:a")
    assert not grant.may_read("todos:a")


async def test_a_token_reads_its_channels_and_the_anonymous_ones_until_it_expires() -> None:
    access: Access = (grant := await gate().admit(bearer=token()))

    assert (grant.subject, grant.expires) == ("ann", NOW + 100)
    assert access.may_read("todos:a")
    assert access.may_read("public:a")
    assert not access.may_read("orders:a")


async def test_a_grant_keeps_all_claims_and_does_not_show_them() -> None:
    grant = await gate().admit(bearer=token())

    assert grant.claims["channels"] == ["todos:*"]
    assert "claims" not in repr(grant)


BY = {subject: token(subject=subject) for subject in ("bearer", "query", "cookie")}
WRONG = "no token"


@pytest.mark.parametrize(
    ("bearer", "query", "cookie", "who"),
    [
        (None, None, BY["cookie"], "cookie"),
        (None, BY["query"], None, "query"),
        (None, BY["query"], BY["cookie"], "query"),
        (BY["bearer"], BY["query"], BY["cookie"], "bearer"),
        (BY["bearer"], WRONG, WRONG, "bearer"),
        (None, BY["query"], "", "query"),
    ],
)
async def test_the_first_that_is_present_counts(
    bearer: str | None, query: str | None, cookie: str | None, who: str
) -> None:
    grant = await gate().admit(bearer=bearer, query=query, cookie=cookie)

    assert grant.subject == who


@pytest.mark.parametrize(
    ("bearer", "query", "cookie"),
    [
        (WRONG, BY["query"], BY["cookie"]),
        (None, WRONG, BY["cookie"]),
        (None, None, WRONG),
        ("", None, None),
        (None, "", None),
        (None, None, ""),
        ("", BY["query"], None),
    ],
)
async def test_what_is_present_and_not_valid_is_refused_and_never_anonymous(
    bearer: str | None, query: str | None, cookie: str | None
) -> None:
    with pytest.raises(Unauthorized):
        await gate(anonymous=["**"]).admit(bearer=bearer, query=query, cookie=cookie)


@pytest.mark.parametrize("place", ["bearer", "query", "cookie"])
async def test_where_no_tokens_are_configured_one_that_is_shown_is_refused(place: str) -> None:
    closed = Gate(anonymous=Anonymous(patterns=["**"]))

    with pytest.raises(Unauthorized, match=r"auth\.jwt is not configured"):
        await closed.admit(**{place: token()})


async def test_a_ticket_opens_streams_from_the_url_as_the_token_that_bought_it() -> None:
    ticket = await gate().ticket(bearer=token())

    by_ticket: Grant = await gate().admit(query=ticket)

    assert (by_ticket.subject, by_ticket.expires) == ("ann", NOW + 100)
    assert by_ticket.may_read("todos:a")
    assert by_ticket.claims == (await gate().admit(bearer=token())).claims


async def test_a_ticket_is_neither_a_bearer_nor_a_cookie_and_buys_no_ticket() -> None:
    ticket = await gate().ticket(bearer=token())

    for attempt in (
        gate().admit(bearer=ticket),
        gate().admit(cookie=ticket),
        gate().ticket(bearer=ticket),
    ):
        with pytest.raises(Unauthorized, match="this is a ticket"):
            await attempt


async def test_a_ticket_is_given_for_a_token_only() -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer"):
        await gate().ticket(bearer=None)
    with pytest.raises(Unauthorized, match="not a JWT"):
        await gate().ticket(bearer=WRONG)


async def test_without_a_secret_there_are_no_tickets() -> None:
    ticket = await gate().ticket(bearer=token())

    with pytest.raises(NotThere, match=r"auth\.ticket_secret"):
        await gate(tickets=False).ticket(bearer=token())
    with pytest.raises(Unauthorized):
        await gate(tickets=False).admit(query=ticket)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc ", "abc"),
    ],
)
def test_a_bearer_is_read_from_the_header(header: str | None, token: str | None) -> None:
    assert bearer_of(header) == token


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "abc", "Basic YTpi", "Digest username=a", "Bearerabc"]
)
def test_a_header_of_another_scheme_is_refused(header: str) -> None:
    with pytest.raises(Unauthorized, match="Bearer TOKEN"):
        bearer_of(header)


HERE = "bridge.example:8443"


@pytest.mark.parametrize(
    ("origin", "site", "host", "counts"),
    [
        (None, "same-origin", HERE, True),
        (None, "none", HERE, True),
        (None, "same-site", HERE, False),
        (None, "cross-site", HERE, False),
        (None, "", HERE, False),
        (None, None, HERE, False),
        ("https://bridge.example:8443", None, HERE, True),
        ("https://bridge.example:8443", "same-origin", HERE, True),
        ("https://BRIDGE.example:8443", None, HERE, True),
        ("https://bridge.example", None, "bridge.example", True),
        ("https://bridge.example", None, "bridge.example:443", True),
        ("http://bridge.example", None, "bridge.example:80", True),
        ("http://[::1]:8080", None, "[::1]:8080", True),
        # The page is not of the same origin although host and port are: another scheme.
        ("http://bridge.example:8443", "cross-site", HERE, False),
        ("https://bridge.example", None, HERE, False),
        ("https://bridge.example:8444", None, HERE, False),
        ("https://evil.example", "same-origin", HERE, False),
        ("https://evil.example", None, HERE, False),
        ("https://bridge.example:8443.evil.example", None, HERE, False),
        ("https://app.example", "cross-site", HERE, True),
        ("https://app.example", None, HERE, True),
        ("null", None, HERE, False),
        ("null", "same-origin", HERE, False),
        ("", None, HERE, False),
        ("https://[", None, HERE, False),
        ("https://bridge.example:x", None, "bridge.example:x", False),
        ("file://", None, "", False),
    ],
)
def test_a_cookie_counts_from_the_same_origin_or_an_allowed_one(
    origin: str | None, site: str | None, host: str, counts: bool
) -> None:
    found = cookie_counts(
        origin=origin,
        sec_fetch_site=site,
        host=host,
        allowed=lambda text: text == "https://app.example",
    )
    assert found is counts
