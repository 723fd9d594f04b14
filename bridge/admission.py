"""From the configuration to the gate: how tokens are verified, and who comes in."""

from bridge.auth import Anonymous, Gate
from bridge.auth_config import AuthConfig, text
from bridge.tokens import Tickets, Tokens


def tokens_of(auth: AuthConfig) -> Tokens | None:
    """What verifies tokens; None where none are accepted. Raises ConfigError for a bad key."""
    jwt = auth.jwt
    if not jwt.configured:
        return None
    return Tokens(
        algorithms=jwt.algorithms,
        secret=text(jwt.secret),
        public_key_file=jwt.public_key_file,
        jwks_url=jwt.jwks_url,
        issuer=jwt.issuer,
        audience=jwt.audience,
        leeway=jwt.leeway,
    )


def gate_of(auth: AuthConfig, tokens: Tokens | None) -> Gate:
    """The gate before the public listener. Raises ConfigError for a bad pattern."""
    secret = text(auth.ticket_secret) or text(auth.jwt.secret)
    tickets = Tickets(secret=secret, leeway=auth.jwt.leeway) if tokens and secret else None
    return Gate(anonymous=Anonymous(patterns=auth.anonymous), tokens=tokens, tickets=tickets)
