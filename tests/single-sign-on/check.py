"""Signs in to an application of the group portal with Authlib: authorization code with PKCE, ID token, userinfo."""

import os
import sys

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, JsonWebToken

APPLICATION = "enrollment-desk"
CALLBACK = "https://enrollment.harborlight.example/callback"
issuer = sys.argv[1]
# The portal is on this machine, without TLS.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

server = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=10).json()
credentials = {"username": "sam.lind", "password": "Quiet-River-58!", "token_delivery": "body"}
session = requests.post(f"{issuer}/sessions", json=credentials, timeout=10).json()
user = {"Authorization": f"Bearer {session['token']}"}

client = OAuth2Session(APPLICATION, os.environ["CLIENT_SECRET"], scope="openid profile email", redirect_uri=CALLBACK,
                       code_challenge_method="S256", token_endpoint_auth_method="client_secret_basic")
verifier = "a-code-verifier-of-this-check-that-is-long-enough-0123456789"
url, state = client.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, nonce="n-1")
query = url.split("?", 1)[1]
opened = requests.post(f"{issuer}/authorizations", json={"query": query}, headers=user, timeout=10).json()
token = client.fetch_token(server["token_endpoint"], authorization_response=opened["redirect_to"], state=state,
                           code_verifier=verifier)
keys = JsonWebKey.import_key_set(requests.get(server["jwks_uri"], timeout=10).json())
claims = JsonWebToken(["RS256"]).decode(token["id_token"], keys, claims_options={
    "iss": {"essential": True, "value": issuer},
    "aud": {"essential": True, "value": APPLICATION},
    "nonce": {"essential": True, "value": "n-1"},
})
claims.validate()
info = client.get(server["userinfo_endpoint"]).json()
assert info["sub"] == claims["sub"] and info["preferred_username"] == "sam.lind", info
print("Authlib: ok")
