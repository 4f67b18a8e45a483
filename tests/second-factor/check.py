"""Uses authenticators that are not part of this project against `cargo portal`."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fido2.cose import ES256, EdDSA
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData
from soft_fido2 import Fido2Authenticator, KeyPair

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PORTAL = ROOT / "target/debug/portal"
# A sample person without a pending step.
USER = ("group", "ruth.okafor")
STEP = 30
FLAG = AuthenticatorData.FLAG


class Api:
    """Calls the API as one person, without a session at first."""

    def __init__(self, base, portal):
        self.base, self.portal, self.token = base, portal, None

    def call(self, method, path, body=None):
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.base}/{self.portal}{path}"
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def expect(self, status, method, path, body=None):
        got, response = self.call(method, path, body)
        assert got == status, f"{method} {path}: {got} instead of {status}: {response}"
        return response

    def signs_in(self, username, password):
        self.token = None
        body = {"username": username, "password": password, "token_delivery": "body"}
        session = self.expect(201, "POST", "/sessions", body)
        self.token = session["token"]
        return session

    def adds_passkey(self, name, create):
        """Registers what `create` makes of the options. Returns the status and the response."""
        started = self.expect(200, "POST", "/me/passkeys/challenge")
        passkey = {"ceremony": started["ceremony"], "credential": create(started["options"])}
        return self.call("POST", "/me/passkeys", {"name": name, "passkey": passkey})

    def gives_passkey(self, get):
        """Gives what `get` makes of the options as the second factor. Returns the status and what was sent."""
        started = self.expect(200, "POST", "/sessions/current/passkey-challenge")
        passkey = {"ceremony": started["ceremony"], "credential": get(started["options"])}
        body = {"factor": {"passkey": passkey}}
        return self.call("PUT", "/sessions/current/second-factor", body)[0], body

    def signs_in_with_passkey(self, get):
        self.token = None
        started = self.expect(200, "POST", "/passkey-challenges")
        passkey = {"ceremony": started["ceremony"], "credential": get(started["options"])}
        return self.call("POST", "/sessions/passkey", {"passkey": passkey, "token_delivery": "body"})

    def gives_code(self, code):
        body = {"factor": {"code": code}}
        return self.call("PUT", "/sessions/current/second-factor", body)[0]


def unpadded(response):
    """Encodes without padding, as browsers do."""
    if isinstance(response, dict):
        return {key: unpadded(value) for key, value in response.items()}
    return response.rstrip("=") if isinstance(response, str) else response


class Soft:
    """An authenticator of soft_fido2 with one passkey."""

    def __init__(self, origin, key_pair, **settings):
        self.origin = origin
        self.device = Fido2Authenticator(keyPair=key_pair, counter=1, **settings)

    def create(self, options, attestation="none", **flags):
        options = dict(options, origin=self.origin)
        return unpadded(self.device.credential_create(options, attestation, **flags))

    def get(self, options, **flags):
        options = dict(options, origin=self.origin)
        return unpadded(self.device.credential_request(options, **flags))


class Crafted:
    """A passkey whose responses are built with fido2, right or wrong."""

    def __init__(self, origin, key=None):
        self.origin, self.handle, self.count = origin, b"", 0
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.id = hashlib.sha256(str(time.time_ns()).encode()).digest()

    def response(self, parts):
        return {"id": websafe_encode(self.id), "rawId": websafe_encode(self.id), "type": "public-key",
                "response": {name: websafe_encode(part) for name, part in parts.items()}}

    def data(self, rp_id, flags, count=None, credential=b""):
        self.count += 1
        count = self.count if count is None else count
        return AuthenticatorData.create(hashlib.sha256(rp_id.encode()).digest(), flags, count, credential)

    def create(self, options, flags=FLAG.UP | FLAG.UV, rp_id=None, **client):
        self.handle = websafe_decode(options["user"]["id"])
        kind = ES256 if isinstance(self.key, ec.EllipticCurvePrivateKey) else EdDSA
        key = kind.from_cryptography_key(self.key.public_key())
        credential = AttestedCredentialData.create(bytes(16), self.id, key)
        data = self.data(rp_id or options["rp"]["id"], flags | FLAG.AT, credential=credential)
        fields = {"type": "webauthn.create", "challenge": options["challenge"], "origin": self.origin} | client
        return self.response({"clientDataJSON": CollectedClientData.create(**fields),
                              "attestationObject": AttestationObject.create("none", data, {})})

    def get(self, options, flags=FLAG.UP | FLAG.UV, rp_id=None, count=None, key=None, **client):
        data = self.data(rp_id or options["rpId"], flags, count)
        fields = {"type": "webauthn.get", "challenge": options["challenge"], "origin": self.origin} | client
        client_data = CollectedClientData.create(**fields)
        key, signed = key or self.key, data + client_data.hash
        is_curve = isinstance(key, ec.EllipticCurvePrivateKey)
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256())) if is_curve else key.sign(signed)
        return self.response({"clientDataJSON": client_data, "authenticatorData": data,
                              "signature": signature, "userHandle": self.handle})


def start(data):
    """Starts the system and returns the process and its address."""
    process = subprocess.Popen([PORTAL, "--port", "0", "--data", data], stdout=subprocess.PIPE, text=True)
    base = None
    for line in process.stdout:
        if "Vestibule runs at" in line:
            base = line.split("runs at")[1].split()[0].rstrip("/")
        if "Press Ctrl-C" in line and base:
            return process, base
    raise SystemExit("cargo portal did not start")


def removed(api, factor):
    api.expect(204, "DELETE", f"/me/second-factors/{factor['id']}")


def check_algorithms(api, base, person):
    """MF-01, MF-03, MF-05: passkeys of each algorithm, and attestation statements that were not requested."""
    made = 0
    kinds = [("ES256", KeyPair.generate_ecdsa), ("RS256", KeyPair.generate_rsa)]
    for name, generate in kinds:
        for attestation in ("none", "packed-self"):
            api.signs_in(*person)
            soft = Soft(base, generate())
            status, factor = api.adds_passkey(name, lambda options: soft.create(options, attestation))
            assert status == 201, (name, attestation, factor)
            session = api.signs_in(*person)
            assert session["next_step"] == "enter_second_factor" and "user_id" not in session, session
            status, sent = api.gives_passkey(soft.get)
            assert status == 200, (name, status)
            # The same assertion again.
            assert api.call("PUT", "/sessions/current/second-factor", sent)[0] == 422
            status, session = api.signs_in_with_passkey(soft.get)
            assert status == 201 and "next_step" not in session, (name, session)
            api.token = session["token"]
            # Without verification of the person it does not sign in alone.
            assert api.signs_in_with_passkey(lambda options: soft.get(options, uv=False))[0] == 401
            api.token = session["token"]
            removed(api, factor)
            made += 1
    # soft_fido2 encodes EdDSA keys with a key type that RFC 9053 does not know, so this one is built with fido2.
    api.signs_in(*person)
    crafted = Crafted(base, ed25519.Ed25519PrivateKey.generate())
    status, factor = api.adds_passkey("EdDSA", crafted.create)
    assert status == 201, factor
    api.signs_in(*person)
    assert api.gives_passkey(crafted.get)[0] == 200
    status, session = api.signs_in_with_passkey(crafted.get)
    assert status == 201 and "next_step" not in session, session
    api.token = session["token"]
    removed(api, factor)
    return made + 1


def check_unsupported(api, base, person):
    """Keys of algorithms that were not offered."""
    api.signs_in(*person)
    refused = 0
    short = lambda: KeyPair.generate_rsa(key_size=1024)
    for generate in (lambda: KeyPair.generate_ecdsa(ec.SECP384R1()), short, KeyPair.generate_ed25519):
        soft = Soft(base, generate())
        status, response = api.adds_passkey("Odd", soft.create)
        assert status == 422 and response["type"].endswith("passkey-refused"), (status, response)
        refused += 1
    return refused


def check_wrong_registrations(api, base, person):
    """Everything that can be wrong in a registration."""
    api.signs_in(*person)
    crafted = Crafted(base)
    wrong = {
        "origin": lambda o: crafted.create(o, origin="https://evil.example"),
        "port": lambda o: crafted.create(o, origin=base + "1"),
        "embedded": lambda o: crafted.create(o, cross_origin=True),
        "top origin": lambda o: crafted.create(o, topOrigin=base),
        "type": lambda o: crafted.create(o, type="webauthn.get"),
        "challenge": lambda o: crafted.create(o, challenge=websafe_encode(bytes(32))),
        "relying party": lambda o: crafted.create(o, rp_id="evil.example"),
        "nobody present": lambda o: crafted.create(o, flags=FLAG.UV),
        "backed up but not eligible": lambda o: crafted.create(o, flags=FLAG.UP | FLAG.BS),
    }
    for what, create in wrong.items():
        status, response = api.adds_passkey("Wrong", create)
        assert status == 422 and response["type"].endswith("passkey-refused"), (what, status, response)
    # Another session's ceremony.
    started = api.expect(200, "POST", "/me/passkeys/challenge")
    api.signs_in(*person)
    passkey = {"ceremony": started["ceremony"], "credential": crafted.create(started["options"])}
    assert api.call("POST", "/me/passkeys", {"name": "Wrong", "passkey": passkey})[0] == 422
    return len(wrong) + 1


def check_wrong_assertions(api, base, person):
    """Everything that can be wrong in an assertion, as the second factor and alone."""
    api.signs_in(*person)
    crafted = Crafted(base)
    status, factor = api.adds_passkey("Crafted", crafted.create)
    assert status == 201, factor
    stranger = ec.generate_private_key(ec.SECP256R1())
    wrong = {
        "origin": lambda o: crafted.get(o, origin="https://evil.example"),
        "embedded": lambda o: crafted.get(o, cross_origin=True),
        "type": lambda o: crafted.get(o, type="webauthn.create"),
        "challenge": lambda o: crafted.get(o, challenge=websafe_encode(bytes(32))),
        "relying party": lambda o: crafted.get(o, rp_id="evil.example"),
        "nobody present": lambda o: crafted.get(o, flags=FLAG.UV),
        "backed up but not eligible": lambda o: crafted.get(o, flags=FLAG.UP | FLAG.UV | FLAG.BS),
        "eligible, other than registered": lambda o: crafted.get(o, flags=FLAG.UP | FLAG.UV | FLAG.BE),
        "replayed counter": lambda o: crafted.get(o, count=1),
        "no counter": lambda o: crafted.get(o, count=0),
        "key": lambda o: crafted.get(o, key=stranger),
    }
    for what, get in wrong.items():
        api.signs_in(*person)
        assert api.gives_passkey(get)[0] == 422, what
        # A right one resets the counter of attempts.
        assert api.gives_passkey(crafted.get)[0] == 200, what
        assert api.signs_in_with_passkey(get)[0] == 401, what
    for what, handle in {"unknown account": b"0" * 26, "not an id": b"x", "none": b""}.items():
        other = Crafted(base, crafted.key)
        other.handle, other.id, other.count = handle, crafted.id, 1_000
        assert api.signs_in_with_passkey(other.get)[0] == 401, what
    status, session = api.signs_in_with_passkey(crafted.get)
    assert status == 201, session
    api.token = session["token"]
    removed(api, factor)
    return 2 * len(wrong) + 3


def code_at(secret, moment):
    """The code at a moment, of pyotp and, if it is installed, of oathtool."""
    code = pyotp.TOTP(secret).at(moment)
    if shutil.which("oathtool"):
        command = ["oathtool", "--totp", "--base32", secret, "--now", f"@{moment}"]
        assert subprocess.check_output(command, text=True).strip() == code
    return code


def next_step():
    """Waits for the next time step, so that no code is accepted twice."""
    time.sleep(STEP - time.time() % STEP + 0.2)
    return int(time.time())


def check_codes(api, person):
    """MF-01, MF-05: codes of authenticator apps."""
    api.signs_in(*person)
    started = api.expect(200, "POST", "/me/authenticator-apps/enrollment")
    app = pyotp.parse_uri(started["uri"])
    assert app.secret == started["secret"] and (app.interval, app.digits) == (STEP, 6), started["uri"]
    now = int(time.time())
    body = {"name": "Phone", "enrollment": started["enrollment"]}
    assert api.call("POST", "/me/authenticator-apps", body | {"code": code_at(app.secret, now - 10 * STEP)})[0] == 422
    factor = api.expect(201, "POST", "/me/authenticator-apps", body | {"code": code_at(app.secret, now)})
    api.signs_in(*person)
    # The code that set it up.
    assert api.gives_code(code_at(app.secret, now)) == 422
    now = next_step()
    for moment in (now - 3 * STEP, now - 2 * STEP, now + 2 * STEP, now + 3 * STEP):
        assert api.gives_code(code_at(app.secret, moment)) == 422, moment - now
    assert api.gives_code(code_at(app.secret, now)) == 200
    assert api.gives_code(code_at(app.secret, now)) == 422
    # A device whose clock is fast.
    assert api.gives_code(code_at(app.secret, now + STEP)) == 200
    # And then one of the step before.
    assert api.gives_code(code_at(app.secret, now)) == 422
    removed(api, factor)
    return 10


def main():
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        process, base = start(data)
        try:
            people = json.loads((data / "people.json").read_text())["people"]
            portal, username = USER
            password = next(p["password"] for p in people if (p["portal"], p["username"]) == USER)
            api, person = Api(base, portal), (username, password)
            print(f"{check_algorithms(api, base, person)} kinds of passkeys sign in")
            print(f"{check_unsupported(api, base, person)} kinds of keys are refused")
            print(f"{check_wrong_registrations(api, base, person)} wrong registrations are refused")
            print(f"{check_wrong_assertions(api, base, person)} wrong assertions are refused")
            print(f"{check_codes(api, person)} codes are accepted or refused as they should")
            if not shutil.which("oathtool"):
                print("oathtool is not installed; codes are those of pyotp")
        finally:
            process.terminate()
            process.wait()


main()
