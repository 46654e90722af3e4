"""A token authority without the project's code: its documents, and tokens of any kind, forged ones included."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confidential import ACCESS_TOKEN, CLIENT_SECRET, PRIVATE_KEY, confidential
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stack.stack import Stack

Claims = dict[str, Any]
Sign = Callable[[bytes], bytes]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def jwt(header: dict[str, Any], claims: Claims, sign: Sign) -> str:
    """A JWT in compact form, from any header and claims."""
    signed = ".".join(base64url(json.dumps(part).encode()) for part in [header, claims])
    return f"{signed}.{base64url(sign(signed.encode()))}"


def registered(token: str) -> str:
    """Registers the signature of a token as a secret, and returns the token."""
    confidential(token.rpartition(".")[2], ACCESS_TOKEN)
    return token


class SigningKey:
    """An Ed25519 key of the authority."""

    def __init__(self) -> None:
        self.private_key = Ed25519PrivateKey.generate()
        self.public_bytes = self.private_key.public_key().public_bytes_raw()
        self.kid = hashlib.sha256(self.public_bytes).hexdigest()[:16]
        # Long ago, so that no test depends on today.
        self.added_at = time.time() - 7 * 24 * 60 * 60

    def sign(self, data: bytes) -> bytes:
        return self.private_key.sign(data)

    def entry(self) -> dict[str, str]:
        """This key in the authority's document; it signs."""
        document = self.private_key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "kid": self.kid,
            "private_key": confidential(base64.b64encode(document).decode(), PRIVATE_KEY),
            "added_at": timestamp(self.added_at),
            "activated_at": timestamp(self.added_at),
        }

    def public_entry(self) -> dict[str, str]:
        """This key in the verification document."""
        return {"kid": self.kid, "x": base64url(self.public_bytes)}

    def jwk(self) -> dict[str, str]:
        return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", **self.public_entry()}


@dataclass
class Client:
    """A client of the token endpoint; its account has the client's id unless another one is named."""

    client_id: str
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    account: str = ""

    def __post_init__(self) -> None:
        self.account = self.account or self.client_id
        confidential(self.client_secret, CLIENT_SECRET)


class Authority:
    """The authority whose two documents the stack's secrets hold, with one key and one client."""

    issuer = "https://hooks.example.com/oauth/token"
    audience = "https://hooks.example.com/webhooks/sterling"

    def __init__(self, token_lifetime_seconds: int = 7200) -> None:
        self.token_lifetime_seconds = token_lifetime_seconds
        self.key = SigningKey()
        self.client = Client("ibm-sterling")
        self.clients = [self.client]

    def document(self) -> dict[str, Any]:
        """The document that only the token endpoint reads."""
        short = {"short_tokens_are_meant": True} if self.token_lifetime_seconds < 3600 else {}
        return {
            "issuer": self.issuer,
            "audience": self.audience,
            "token_lifetime_seconds": self.token_lifetime_seconds,
            **short,
            "secret_refresh_seconds": 300,
            "keys": [self.key.entry()],
            "clients": [
                {
                    "client_id": client.client_id,
                    "account": client.account,
                    "secrets": [hashlib.sha256(client.client_secret.encode()).hexdigest()],
                }
                for client in self.clients
            ],
        }

    def verification(self) -> dict[str, Any]:
        """The document that the webhook reads."""
        return {
            "issuer": self.issuer,
            "audience": self.audience,
            "keys": [self.key.public_entry()],
            "clients": [{"client_id": client.client_id, "account": client.account} for client in self.clients],
        }

    def claims(self, **changes: Any) -> Claims:
        """The claims of a token that is issued now; a change to None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": self.client.client_id,
            "aud": self.audience,
            "iat": now,
            "exp": now + self.token_lifetime_seconds,
            "jti": str(uuid.uuid4()),
            "client_id": self.client.client_id,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        header = {"alg": "EdDSA", "typ": "at+jwt", "kid": self.key.kid}
        return {name: value for name, value in (header | changes).items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, sign: Sign | None = None, **changes: Any) -> str:
        """A token as the endpoint issues it, with these changes."""
        return registered(jwt(self.header(**(header or {})), self.claims(**changes), sign or self.key.sign))


def put_authority(stack: Stack, authority: Authority) -> None:
    stack.put_secret("SterlingAuthoritySecretArn", authority.document())
    stack.put_secret("SterlingVerificationSecretArn", authority.verification())


class Bearer:
    """Sends one token with each delivery."""

    def __init__(self, token: str) -> None:
        self.token = token

    def headers(self, body: bytes) -> dict[str, str]:
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}


class FreshTokens:
    """Sends a new token with each delivery, signed as the endpoint does it."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority

    def headers(self, body: bytes) -> dict[str, str]:
        return Bearer(self.authority.token()).headers(body)


def sterling_event(item_id: str, code: str = "supplyChange", quantity: str = "1.0", **changes: Any) -> dict[str, Any]:
    """One event as in Sterling's documentation. Numbers are strings."""
    event = {
        "code": code,
        "timestamp": "2026-01-18T06:00:00.021Z",
        "attributes": [
            {"name": "tenantId", "type": "String", "value": "tenant1"},
            {"name": "itemId", "type": "String", "value": item_id},
            {"name": "quantity", "type": "Number", "value": quantity},
        ],
    }
    return event | changes


def sterling_batch(
    *events: Any, channel: str = "Order Management", identifiers: list[Any] | None = None
) -> dict[str, Any]:
    return {"channel": channel, "identifiers": identifiers or [], "events": list(events)}


def sterling_delivery(*batches: dict[str, Any]) -> bytes:
    return json.dumps({"eventbatch": list(batches)}).encode()
