"""Sterling's side of the token endpoint, played by a standard OAuth client library."""

from __future__ import annotations

import base64
import json
import os
import warnings
from typing import Any

# The client insists on TLS, which the emulator does not have.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.integrations.requests_client import OAuth2Session
from authority import Authority, Client, registered
from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry
from stack.stack import Answer, Stack

TOKEN_PATH = "/oauth/token"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BASIC, POST = "client_secret_basic", "client_secret_post"


class OAuthClient:
    """Gets tokens by the client credentials grant, and posts with them."""

    def __init__(self, stack: Stack, client: Client, method: str = BASIC) -> None:
        self.stack = stack
        self.session: Any = OAuth2Session(
            client.client_id, client.client_secret, token_endpoint_auth_method=method, default_timeout=40
        )
        self.session.trust_env = False
        self.session.headers["Host"] = stack.host

    def fetch_token(self, **parameters: str) -> dict[str, Any]:
        token = self.session.fetch_token(
            f"{self.stack.url}{TOKEN_PATH}", grant_type="client_credentials", **parameters
        )
        # A client gets a new token by itself when the old one is about to expire; Sterling does so too, but these
        # tests are about what happens when it has not.
        registered(token["access_token"])
        self.session.token = {"access_token": token["access_token"], "token_type": token["token_type"]}
        return dict(token)

    def post(self, body: bytes) -> Any:
        return self.session.post(
            f"{self.stack.url}/webhooks/sterling", data=body, headers={"Content-Type": "application/json"}
        )


def verified(authority: Authority, token: str) -> Any:
    """The header and claims of a token, checked by a library with the authority's public key, as RFC 9068 says."""
    with warnings.catch_warnings():
        # RFC 9864 prefers the name Ed25519, which fewer libraries know.
        warnings.filterwarnings("ignore", "EdDSA is deprecated")
        decoded = jwt.decode(token, KeySet.import_key_set({"keys": [authority.key.jwk()]}), algorithms=["EdDSA"])
    essential: Any = {"essential": True}
    JWTClaimsRegistry(
        iss={"essential": True, "value": authority.issuer},
        aud={"essential": True, "value": authority.audience},
        **dict.fromkeys(["sub", "iat", "exp", "jti", "client_id"], essential),
    ).validate(decoded.claims)
    return decoded


def basic(client_id: str, client_secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{client_id}:{client_secret}'.encode()).decode()}"}


def token_request(
    stack: Stack, client: Client, headers: dict[str, str] | None = None, body: bytes = b"grant_type=client_credentials"
) -> Answer:
    """Asks for a token without a library, so that the whole answer is available."""
    sent = FORM | basic(client.client_id, client.client_secret) if headers is None else headers
    answer = stack.request("POST", TOKEN_PATH, body, sent)
    if answer.status == 200:
        registered(json.loads(answer.body)["access_token"])
    return answer
