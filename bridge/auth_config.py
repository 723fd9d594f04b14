"""The configuration of access: patterns for everybody, and tokens."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from bridge.errors import ConfigError
from bridge.publickey import check_key, check_secret
from bridge.secret_file import with_secret
from bridge.section import Section, number

_UNREADABLE = re.compile(r"[\s\x00-\x1f\x7f]")
_URL = re.compile(r"https?://[^\s/?#]+([/?]\S*)?")
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(not pattern or _UNREADABLE.search(pattern) for pattern in value):
        raise ValueError('channel patterns such as "todos:*", not empty and without blanks')
    return value


def _url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError('a URL such as "https://login.example.com/.well-known/jwks.json"')
    return value


def _cookie(value: str) -> str:
    if not _COOKIE.fullmatch(value):
        raise ValueError('the name of a cookie such as "session": letters, digits, - and _')
    return value


_File = Annotated[Path, Field(strict=False)]


class JwtConfig(Section):
    """How tokens are verified; without a key none is accepted."""

    algorithms: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=("HS256",), description="a list of algorithms"
    )
    secret: SecretStr | None = Field(default=None, description="a secret text")
    secret_file: _File | None = Field(
        default=None, description="the path of a file that holds the secret"
    )
    public_key_file: _File | None = Field(
        default=None, description="the path of a file that holds a public key as PEM"
    )
    jwks_url: Annotated[str, AfterValidator(_url)] | None = Field(
        default=None, description="the URL of a JSON Web Key Set"
    )
    issuer: str | None = Field(default=None, min_length=1, description="a text")
    audience: str | None = Field(default=None, min_length=1, description="a text")
    leeway: float = number(10.0, 0, 300, "seconds")

    @property
    def configured(self) -> bool:
        """Whether there is anything to verify tokens with."""
        return any(key is not None for key in (self.secret, self.public_key_file, self.jwks_url))


class AuthConfig(Section):
    """Who may read what."""

    anonymous: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_patterns)] = Field(
        default=(), description="a list of channel patterns"
    )
    jwt: JwtConfig = JwtConfig()
    cookie: Annotated[str, AfterValidator(_cookie)] | None = Field(
        default=None, description="the name of a cookie"
    )
    ticket_secret: SecretStr | None = Field(default=None, description="a secret text")
    ticket_secret_file: _File | None = Field(
        default=None, description="the path of a file that holds the secret"
    )


def resolved(auth: AuthConfig, directory: Path) -> AuthConfig:
    """The same with the secrets from their files, which are relative to the directory.

    Raises ConfigError where keys do not go together, without showing a secret.
    """
    auth = with_secret(auth, "auth.ticket_secret", directory=directory, what="a text")
    jwt = with_secret(auth.jwt, "auth.jwt.secret", directory=directory, what="a text")
    if jwt.public_key_file is not None:
        jwt = jwt.model_copy(update={"public_key_file": directory / jwt.public_key_file})
    if jwt != JwtConfig():
        check_key(
            jwt.algorithms,
            secret=text(jwt.secret),
            public_key_file=jwt.public_key_file,
            jwks_url=jwt.jwks_url,
        )
    check_secret("auth.ticket_secret", text(auth.ticket_secret))
    if not jwt.configured and (auth.cookie or auth.ticket_secret):
        key = "cookie" if auth.cookie else "ticket_secret"
        raise ConfigError(f"auth.{key}: needs auth.jwt, which says how tokens are verified")
    return auth.model_copy(update={"jwt": jwt})


def text(secret: SecretStr | None) -> str | None:
    """What is secret, to be used."""
    return None if secret is None else secret.get_secret_value()
