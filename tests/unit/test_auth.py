import pytest

from bridge.auth import Access, Anonymous
from bridge.errors import ConfigError


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
