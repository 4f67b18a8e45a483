"""Goes through single sign-on on a deployed stack, as an application and its user's browser do (SO-01 to SO-05)."""

import base64
import hashlib
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request

APPLICATION = "enrollment-desk"
CALLBACK = "https://enrollment.harborlight.example/callback"
ISSUER = "https://groups.harborlight.example/group"
# The encoding of a SHA-256 digest in a signature (RFC 8017, 9.2).
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verified(token, keys):
    """Returns the claims of a token if one of the keys signed it (RS256)."""
    header, payload, signature = token.split(".")
    kid = json.loads(decoded(header))["kid"]
    key = next(key for key in keys if key["kid"] == kid)
    n, e = (int.from_bytes(decoded(key[part]), "big") for part in ("n", "e"))
    size = (n.bit_length() + 7) // 8
    digest = SHA256 + hashlib.sha256(f"{header}.{payload}".encode()).digest()
    expected = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    shown = pow(int.from_bytes(decoded(signature), "big"), e, n).to_bytes(size, "big")
    return json.loads(decoded(payload)) if shown == expected else None


def go_through(base, call, expect, bearer, secret):
    """`base` is the address of the API, `bearer` the session of a user who has the application's service."""

    def send(path, form=None, headers=None):
        """Sends what an application sends: a form with its secret, or a request with a token."""
        data = None
        if form is not None:
            data = urllib.parse.urlencode(form).encode()
            credentials = base64.b64encode(f"{APPLICATION}:{secret}".encode()).decode()
            headers = {"authorization": f"Basic {credentials}", "content-type": "application/x-www-form-urlencoded"} | (headers or {})
        request = urllib.request.Request(f"{base}/group/{path}", data, headers or {})
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith("{") else text

    status, found = send(".well-known/openid-configuration")
    expect("an application discovers the portal (openid-connect)", (status, found.get("issuer"), found.get("token_endpoint")), (200, ISSUER, f"{ISSUER}/token"))
    status, published = send("jwks.json")
    can_sign = status == 200
    if can_sign:
        expect("the keys of KMS are published", [(key["kty"], key["alg"]) for key in published["keys"]], [("RSA", "RS256")] * 2)
    else:
        print(f"--   the emulator's KMS has no RSA keys for signing (jwks.json responded {status}), so no token is issued here")

    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    parameters = {"response_type": "code", "client_id": APPLICATION, "redirect_uri": CALLBACK, "scope": "openid profile email", "state": "s-1",
                  "nonce": "n-1", "code_challenge": challenge, "code_challenge_method": "S256"}

    def authorize(headers, **changed):
        status, answer, _ = call("POST", "/group/authorizations", {"query": urllib.parse.urlencode(parameters | changed)}, headers)
        query = urllib.parse.urlsplit(answer.get("redirect_to") or "").query
        return status, answer, dict(urllib.parse.parse_qsl(query))

    _, answer, _ = authorize({})
    expect("a visitor is led to the sign-in", answer.get("next_step"), "sign_in")
    status, answer, _ = authorize(bearer, redirect_uri=f"{CALLBACK}/")
    expect("an address that is not registered leads nowhere", (status, answer.get("type")), (422, "urn:vestibule:problem:invalid-authorization-request"))
    status, _, opened = authorize(bearer)
    expect("a user with the service gets a code", (status, opened.get("state"), opened.get("iss"), bool(opened.get("code"))), (200, "s-1", ISSUER, True))

    exchange = {"grant_type": "authorization_code", "code": opened.get("code", ""), "redirect_uri": CALLBACK, "code_verifier": verifier}
    status, refused = send("token", exchange, {"authorization": "Basic " + base64.b64encode(f"{APPLICATION}:wrong".encode()).decode()})
    expect("a wrong secret gets nothing", (status, refused.get("error")), (401, "invalid_client"))
    status, refused = send("token", exchange | {"code_verifier": secrets.token_urlsafe(32)})
    expect("a wrong verifier gets nothing", (status, refused.get("error")), (400, "invalid_grant"))
    status, unknown = send("introspect", {"token": "unknown"})
    expect("an unknown token is not active", (status, unknown), (200, {"active": False}))
    if not can_sign:
        status, _ = send("token", exchange)
        expect("without KMS, the exchange can be repeated later", status, 503)
        return

    status, tokens = send("token", exchange)
    expect("the code and its verifier give tokens", (status, tokens.get("token_type")), (200, "Bearer"))
    claims = verified(tokens["id_token"], published["keys"])
    shown = {name: (claims or {}).get(name) for name in ("iss", "aud", "nonce", "preferred_username")}
    expect("a key of KMS signed the ID token", shown, {"iss": ISSUER, "aud": APPLICATION, "nonce": "n-1", "preferred_username": "ruth.okafor"})
    token = {"authorization": f"Bearer {tokens['access_token']}"}
    status, user = send("userinfo", headers=token)
    expect("userinfo shows the user", (status, user.get("sub"), user.get("roles")), (200, claims["sub"], ["principal"]))
    status, active = send("introspect", {"token": tokens["access_token"]})
    expect("introspection shows the same", (status, active.get("active"), active.get("sub")), (200, True, claims["sub"]))
    status, refused = send("token", exchange)
    expect("a code is used once", (status, refused.get("error")), (400, "invalid_grant"))
    status, refused = send("userinfo", headers=token)
    expect("its reuse revokes the token", (status, refused.get("error")), (401, "invalid_token"))
