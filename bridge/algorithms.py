"""The signature algorithms that tokens may use, and the keys that go with each."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm by its JOSE name."""

    name: str
    kind: str
    """The kind of its keys, as JWKs call it; ``oct`` is a shared secret."""
    curves: tuple[str, ...] = ()
    least: int = 0
    """Bytes that a secret must have at least."""

    @property
    def shared(self) -> bool:
        """Whether the key that verifies can also sign."""
        return self.kind == "oct"


ALGORITHMS = {
    each.name: each
    for each in (
        Algorithm("HS256", "oct", least=32),
        Algorithm("HS384", "oct", least=48),
        Algorithm("HS512", "oct", least=64),
        *(
            Algorithm(f"{family}{bits}", "RSA")
            for family in ("RS", "PS")
            for bits in (256, 384, 512)
        ),
        Algorithm("ES256", "EC", ("P-256",)),
        Algorithm("ES384", "EC", ("P-384",)),
        Algorithm("ES512", "EC", ("P-521",)),
        Algorithm("EdDSA", "OKP", ("Ed25519", "Ed448")),
    )
}
"""All that are known, by name; ``none`` is not among them."""


def misfits(names: Sequence[str], *, secret: bool) -> str:
    """Those that a shared secret, or a public key, cannot verify, joined; empty if all fit.

    A key that is public must never be taken for the secret of a shared algorithm: anybody could
    sign with it.
    """
    return ", ".join(name for name in names if ALGORITHMS[name].shared != secret)
