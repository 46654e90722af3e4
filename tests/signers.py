"""Signs deliveries as the providers do, with code that shares nothing with the project's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

from confidential import PATH_SECRET, SIGNING_SECRET, confidential
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


class MachnetSigner:
    """Signs with one Machnet subscription secret."""

    def __init__(self, secret: str, account: str = "main") -> None:
        self.secret = confidential(secret, SIGNING_SECRET)
        self.account = account

    def key(self) -> dict[str, str]:
        """This signer's entry in the secret's list of active keys."""
        return {"account": self.account, "secret": self.secret}

    def headers(self, body: bytes, event: str | None = None) -> dict[str, str]:
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "x-raas-webhook-signature": signature}
        if event is not None:
            headers["x-raas-event"] = event
        return headers


class AccreditSigner:
    """Signs with one RSA key, as Accredit does; `pss` for the other padding."""

    def __init__(self, account: str = "main", pss: bool = False, private_key: rsa.RSAPrivateKey | None = None) -> None:
        self.account = account
        self.pss = pss
        self.private_key = private_key or rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def key(self) -> dict[str, str]:
        """This signer's entry in the secret's list of active keys."""
        public_key = self.private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {
            "account": self.account,
            "public_key": public_key.decode(),
            "padding": "pss" if self.pss else "pkcs1-v1.5",
        }

    def headers(self, body: bytes, job_id: str | None = None, attempt: int | None = None) -> dict[str, str]:
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if self.pss else padding.PKCS1v15()
        signature = self.private_key.sign(body, scheme, hashes.SHA256())
        headers = {"Content-Type": "application/json", "X-Signature": base64.b64encode(signature).decode()}
        if job_id is not None:
            headers["X-JobId"] = job_id
        if attempt is not None:
            headers["X-JobAttempt"] = str(attempt)
        return headers


class PathSecret:
    """A secret at the end of NurtureCloud's URL, which is all the proof there is: NurtureCloud signs nothing."""

    def __init__(self, account: str = "main", secret: str | None = None) -> None:
        self.secret = confidential(secrets.token_urlsafe(32), PATH_SECRET) if secret is None else secret
        self.account = account

    @property
    def path(self) -> str:
        return f"/webhooks/nurturecloud/{self.secret}"

    def key(self) -> dict[str, str]:
        """This secret's entry in the list of active keys."""
        return {"account": self.account, "secret_sha256": hashlib.sha256(self.secret.encode()).hexdigest()}

    def headers(self, body: bytes) -> dict[str, str]:
        return {"Content-Type": "application/json"}


def machnet_event(event_id: str, resource_id: str, **changes: Any) -> bytes:
    """A Machnet webhook body as in its documentation."""
    body = {
        "id": event_id,
        "event_name": "transaction_processed",
        "resource_id": resource_id,
        "user_id": "0b3d6d70-9c3e-4f0b-8a7c-2f5f9ed7c0a1",
        "subscription_id": "5f4d1c0a-61a7-4a0e-9d3b-7c2b8a1e6f90",
        "payload": {"status": "PROCESSED"},
        "timestamp": "2026-09-01T09:29:38.969",
    }
    return json.dumps(body | changes).encode()


def accredit_event(export_id: str, **changes: Any) -> bytes:
    """An Accredit webhook body as in its documentation."""
    body = {
        "Event": "BadgeExportZipFile.Created",
        "Timestamp": "2026-09-01T09:29:38Z",
        "BadgeExportZipFileId": export_id,
    }
    return json.dumps(body | changes).encode()
