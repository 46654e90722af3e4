"""Every secret that a run uses, told by whoever makes it, so that the search at the end misses none."""

from __future__ import annotations

# What is shorter would be found by chance; it stands for a secret that is none.
SHORTEST = 16

PATH_SECRET = "path secret"
SIGNING_SECRET = "signing secret"
CLIENT_SECRET = "client secret"
PRIVATE_KEY = "private key"
ACCESS_TOKEN = "access token"

_told: dict[str, str] = {}


def confidential(secret: str, kind: str) -> str:
    """Tells of a secret, and returns it."""
    if len(secret) >= SHORTEST:
        _told[secret] = kind
    return secret


def secrets_so_far() -> dict[str, str]:
    """Every secret that was told of, with its kind."""
    return dict(_told)
