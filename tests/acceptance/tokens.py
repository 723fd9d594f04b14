"""Tokens as others make them, good and forged, and the keys that they are signed with."""

import base64
import hashlib
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "the secret of the acceptance tests, long enough for HS512: 64 bytes!"
ISSUER = "https://id.example.com"
AUDIENCE = "bridge"
SOON = 600
"""Seconds for which good tokens are good."""

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()

RSA_PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def token(
    *, key: Any = SECRET, alg: str = "HS256", header: dict[str, Any] | None = None, **claims: Any
) -> str:
    """A token that is good but for what is given; a claim that is None is left out."""
    good = {
        "sub": "ann",
        "channels": ["todos:*"],
        "exp": int(time.time()) + SOON,
        "iss": ISSUER,
        "aud": AUDIENCE,
    }
    body = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(body, key, algorithm=alg, headers=header)


def ago(seconds: float) -> int:
    return int(time.time() - seconds)


def without_signature() -> str:
    """``alg: none``, as a library that allows it would take it."""
    _, body, _ = token().split(".")
    return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{body}."


def with_other_claims() -> str:
    """The signature of one token under the claims of another."""
    head, _, signature = token(channels=["public:*"]).split(".")
    return f"{head}.{token().split('.')[1]}.{signature}"


def signed_with_the_public_key() -> str:
    """HS256 by the bytes of the PEM that everybody has: what algorithm confusion lets pass."""
    head, body = _encoded({"alg": "HS256", "typ": "JWT"}), token().split(".")[1]
    signature = hmac.new(RSA_PEM, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def with_a_key_of_its_own() -> str:
    """Signed by a key that the token itself brings along."""
    own = json.loads(RSAAlgorithm.to_jwk(OTHER_RSA.public_key()))
    return token(key=OTHER_RSA, alg="RS256", header={"jwk": own})


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def published(**keys: Any) -> bytes:
    """A JSON Web Key Set of these keys, each under its name (kid)."""
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    found = []
    for kid, key in keys.items():
        kind: Any = next((k for of, k in kinds.items() if isinstance(key, of)), OKPAlgorithm)
        found.append({**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig"})
    return json.dumps({"keys": found}).encode()


class Provider:
    """An identity provider's URL with its keys; without ``body`` it answers 500."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.asked = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(200 if provider.body else 500)
                self.send_header("Content-Length", str(len(provider.body)))
                self.end_headers()
                self.wfile.write(provider.body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
