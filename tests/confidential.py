"""Registry of every secret that a run uses, so that the search at the end misses none."""

from __future__ import annotations

# Minimum length, in characters. A shorter text is a placeholder for a secret, and would be found by chance.
MIN_SECRET_CHARACTERS = 16

PATH_SECRET = "path secret"
SIGNING_SECRET = "signing secret"
CLIENT_SECRET = "client secret"
PRIVATE_KEY = "private key"
ACCESS_TOKEN = "access token"

_secrets: dict[str, str] = {}


def confidential(secret: str, kind: str) -> str:
    """Registers a secret, and returns it.

    One with a line break is an error of the test: the search looks for it line by line, so it would look for each line on its own.
    """
    if len(secret.splitlines()) > 1 or secret.endswith(("\n", "\r")):
        raise ValueError(f"a {kind} of a test has a line break; register the text without it")
    if len(secret) >= MIN_SECRET_CHARACTERS:
        _secrets[secret] = kind
    return secret


def secrets_so_far() -> dict[str, str]:
    """All registered secrets with their kinds."""
    return dict(_secrets)
