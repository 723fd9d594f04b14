"""Headers that tell browsers how little an answer may do."""

from collections.abc import Mapping
from types import MappingProxyType

DATA: Mapping[str, str] = MappingProxyType(
    {"X-Content-Type-Options": "nosniff", "Server": "livesync-bridge"}
)
"""For every answer: it is nothing but what its type says; no versions are told."""

PAGE: Mapping[str, str] = MappingProxyType(
    {
        **DATA,
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
)
"""For pages and what they load: own files only, nothing inline, in nobody's frame, and the
address, which may carry a token, is told to nobody."""
