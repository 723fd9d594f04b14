"""The key that tokens are verified with: whether it goes with the algorithms; PEM files."""

from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bridge.algorithms import ALGORITHMS, misfits
from bridge.errors import ConfigError

_LEAST_RSA = 2048
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def check_key(
    algorithms: Sequence[str],
    *,
    secret: str | None,
    public_key_file: Path | None,
    jwks_url: str | None,
) -> None:
    """Raises ConfigError unless there is one key, and every algorithm goes with its kind."""
    keys = {"secret": secret, "public_key_file": public_key_file, "jwks_url": jwks_url}
    given = [name for name, value in keys.items() if value is not None]
    if not given:
        raise ConfigError(f"auth.jwt: no key to verify tokens with; set one of {', '.join(keys)}")
    if len(given) > 1:
        raise ConfigError(f"auth.jwt: {' and '.join(given)} are set; expected only one of them")
    _check_algorithms(algorithms, given[0])
    for name in algorithms if secret is not None else ():
        check_secret("auth.jwt.secret", secret, least=ALGORITHMS[name].least, use=f" for {name}")


def check_secret(key: str, secret: str | None, *, least: int = 32, use: str = "") -> None:
    """Raises ConfigError for a secret that is set and too short to be one."""
    if secret is not None and len(secret.encode()) < least:
        raise ConfigError(
            f"{key}: {len(secret.encode())} bytes are too few{use}; expected at least {least}: "
            "make one with: openssl rand -base64 48"
        )


def read_public_key(file: Path, algorithms: Sequence[str]) -> PublicKeyTypes:
    """The public key in a PEM file; raises ConfigError where it does not suit the algorithms."""
    name = f"auth.jwt.public_key_file: {file}"
    try:
        pem = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error
    if b"PRIVATE KEY-----" in pem:
        raise ConfigError(
            f"{name} holds a private key, which does not belong here; get its public half with: "
            "openssl pkey -pubout -in private.pem -out public.pem"
        )
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{name} does not hold a public key as PEM") from error
    if is_weak(key):
        raise ConfigError(f"{name} holds an RSA key of less than {_LEAST_RSA} bits")
    if unfit := [each for each in algorithms if not _suits(key, each)]:
        raise ConfigError(f"auth.jwt.algorithms: the key in {file} is not for {', '.join(unfit)}")
    return key


def is_weak(key: object) -> bool:
    """Whether it is an RSA key that is too short."""
    return isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA


def _check_algorithms(algorithms: Sequence[str], key: str) -> None:
    unknown = [name for name in algorithms if name not in ALGORITHMS]
    if unknown or not algorithms:
        wrong = f"{', '.join(unknown)} cannot be used" if unknown else "there is none"
        raise ConfigError(f"auth.jwt.algorithms: {wrong}; expected some of {', '.join(ALGORITHMS)}")
    if wrong := misfits(algorithms, secret=key == "secret"):
        fit = ", ".join(name for name in ALGORITHMS if not misfits([name], secret=key == "secret"))
        raise ConfigError(
            f"auth.jwt.algorithms: {wrong} cannot be verified by auth.jwt.{key}; "
            f"expected some of {fit}"
        )


def _suits(key: PublicKeyTypes, name: str) -> bool:
    algorithm = ALGORITHMS[name]
    match algorithm.kind:
        case "RSA":
            return isinstance(key, RSAPublicKey)
        case "EC":
            curve = key.curve.name if isinstance(key, EllipticCurvePublicKey) else ""
            return _CURVES.get(curve) in algorithm.curves
        case "OKP":
            return isinstance(key, Ed25519PublicKey | Ed448PublicKey)
        case _:
            return False
