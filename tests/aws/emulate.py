"""Runs every function's bootstrap under AWS's Runtime Interface Emulator, next to `cargo portal`, with each sample event of
`events/` and with invalid events.

    python tests/aws/emulate.py FOLDER EMULATOR

FOLDER holds the binaries, as FOLDER/sign-in or FOLDER/sign-in/bootstrap; EMULATOR is aws-lambda-rie. PORTAL may name another
program than `cargo portal`.
"""

import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
AWS_PORT, EMULATOR_PORT, RUNTIME_PORT = 28700, 28710, 28711
# Text that no function may print.
NEVER = ["panicked", "stack backtrace", "deprecat", "RUST_BACKTRACE", "thread '"]

folder, emulator = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
failures = []


def expect(what, right, got=""):
    print(f"{'ok  ' if right else 'FAIL'} {what}" + ("" if right else f": {got}"), flush=True)
    if not right:
        failures.append(what)


def binary(name):
    inside = folder / name / "bootstrap"
    return inside if inside.exists() else folder / name


def environment(changes):
    endpoint = lambda nth: f"http://127.0.0.1:{AWS_PORT + nth}"
    return {
        "PATH": os.environ["PATH"], "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint(0), "AWS_ENDPOINT_URL_KMS": endpoint(1),
        "AWS_ENDPOINT_URL_SES": endpoint(2), "AWS_ENDPOINT_URL_S3": endpoint(3),
        "TABLE": "vestibule", "AUDIT_TABLE": "vestibule-audit", "KMS_KEY_ID": "alias/vestibule",
        "FEEDS_BUCKET": "feeds", "LETTERS_BUCKET": "letters", "SEALS_BUCKET": "seals", "CONFIGURATION_SET": "vestibule",
        "PORTALS_DIR": str(ROOT / "infra/portals"), "AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH": "true",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
    } | changes


class Function:
    """A bootstrap under the emulator."""

    def __init__(self, name, **changes):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [emulator, "--runtime-interface-emulator-address", f"127.0.0.1:{EMULATOR_PORT}",
             "--runtime-api-address", f"127.0.0.1:{RUNTIME_PORT}", str(binary(name))],
            env=environment(changes), stdout=self.log, stderr=subprocess.STDOUT)

    def call(self, event):
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        url = f"http://127.0.0.1:{EMULATOR_PORT}/2015-03-31/functions/function/invocations"
        for _ in range(100):
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
                    text = answer.read().decode()
            except urllib.error.HTTPError as error:
                text = error.read().decode()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
                continue
            try:
                return json.loads(text or "null")
            except ValueError:
                return text
        raise SystemExit("the emulator does not respond")

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


def wrong(name, kinds):
    """Returns invalid events for a function."""
    always = [("null", None), ("a number", 7), ("a string", "x"), ("a list", [])]
    if "schedule" not in kinds or name in ("deliver-mail", "print-letters"):
        always += [("an empty object", {}), ("another service's event", {"source": "aws.ec2", "detail-type": "State Change", "detail": {}})]
    if name == "inactivity-sweep":
        always += [("a misspelled dry run", {"dryrun": True}), ("another day without a dry run", {"as_of": "2027-05-22"})]
    if name == "deliver-mail":
        always += [("a broken stream", {"Records": [{"eventName": "INSERT", "dynamodb": {}}]}),
                   ("a broken report", {"source": "aws.ses", "detail-type": "Email Bounced", "detail": {"mail": 7}})]
    if name == "import-records":
        always += [("a broken S3 event", {"Records": [{"s3": {"bucket": {}}}]}),
                   ("another bucket", {"Records": [{"s3": {"bucket": {"name": "other"}, "object": {"key": "feeds/harbor/member/2026-11-23.full.csv"}}}]}),
                   ("an object that is not a feed", {"Records": [{"s3": {"bucket": {"name": "feeds"}, "object": {"key": "notes.txt"}}}]})]
    if not kinds & {"schedule", "s3"}:
        sample = json.loads(next((ROOT / "events").glob(f"{name}.*.json")).read_text())
        always += [("without a method", {k: v for k, v in sample.items() if k != "httpMethod"}),
                   ("a method that is a number", sample | {"httpMethod": 7}),
                   ("a path with a line break", sample | {"path": "/a\r\nb"})]
    return always


def rejected(answer):
    """Whether the function failed or returned a 4xx status."""
    if isinstance(answer, dict) and answer.get("errorMessage"):
        return True
    return isinstance(answer, dict) and 400 <= answer.get("statusCode", 0) < 500


def starts(name, event, write):
    """Checks how a function starts: it reports wrong settings, and recovers when a service is available again. `event` needs no
    service, `write` needs the keyring."""
    function = Function(name, TABLE="")
    function.call(event)
    log = function.end()
    expect(f"{name} names a missing setting", "the environment variable TABLE is missing" in log, log[-2000:])

    portal = event["pathParameters"]["portal"]
    with tempfile.TemporaryDirectory() as policies:
        for policy in (ROOT / "infra/portals").glob("*.toml"):
            text = policy.read_text()
            wrong = text.replace("America/Chicago", "Chicago") if policy.stem == portal else text
            pathlib.Path(policies, policy.name).write_text(wrong)
        function = Function(name, PORTALS_DIR=policies)
        status = function.call(event).get("statusCode")
        other = function.call(json.loads(json.dumps(event).replace(portal, "employer"))).get("statusCode")
        log = function.end()
        output = re.search(rf"{portal}\.toml:\d+: time_zone: must be", log)
        expect(f"{name} names the file, line and field of a wrong policy", output and status == 503, f"{status} {log[-2000:]}")
        expect(f"{name} still serves the other portals", other == 200, other)

    later = AWS_PORT + 20
    function = Function(name, AWS_ENDPOINT_URL_DYNAMODB=f"http://127.0.0.1:{later}")
    read, before = function.call(event).get("statusCode"), function.call(write).get("statusCode")
    forward(later, AWS_PORT)
    after = function.call(write).get("statusCode")
    function.end()
    expect(f"{name} returns 503 without DynamoDB and recovers", before == 503 and after < 500, f"{before} {after}")
    expect(f"{name} calls no service before a request needs it", read == 200, read)


def trusts(name, event):
    """Checks that a function trusts only Amazon's root certificates and those in SSL_CERT_FILE."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = f"{folder}/key.pem", f"{folder}/certificate.pem"
        wanted = pathlib.Path(folder, "wanted")
        wanted.write_text("[req]\ndistinguished_name=name\nx509_extensions=extensions\nprompt=no\n[name]\nCN=localhost\n"
                          "[extensions]\nsubjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config", wanted,
                        "-keyout", key, "-out", certificate], check=True, capture_output=True)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
        forward(AWS_PORT + 21, AWS_PORT, tls)
        seen = []
        for changes in ({}, {"SSL_CERT_FILE": certificate}):
            function = Function(name, AWS_ENDPOINT_URL_DYNAMODB=f"https://localhost:{AWS_PORT + 21}", **changes)
            seen.append(function.call(event).get("statusCode"))
            function.end()
    right = seen[0] == 503 and seen[1] < 500
    expect(f"{name} trusts only Amazon's roots and those in SSL_CERT_FILE", right, seen)


def forward(at, to, tls=None):
    """Forwards one port to another, optionally with TLS."""
    listener = socket.create_server(("127.0.0.1", at))

    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        b.close()

    def accept():
        while True:
            near, _ = listener.accept()
            try:
                near = tls.wrap_socket(near, server_side=True) if tls else near
            except OSError:
                continue
            far = socket.create_connection(("127.0.0.1", to))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


portal = subprocess.Popen(
    [*os.environ.get("PORTAL", "cargo portal").split(), "--port", "0", "--aws-port", str(AWS_PORT), "--data", tempfile.mkdtemp()],
    cwd=ROOT, stdout=subprocess.PIPE, text=True)
try:
    for line in portal.stdout:
        if "Ctrl-C" in line:
            break
    samples = {}
    for path in sorted((ROOT / "events").glob("*.*.json")):
        name, kind = path.name.split(".")[:2]
        samples.setdefault(name, []).append((kind, path))
    for name, events in samples.items():
        if not binary(name).exists():
            print(f"--   {name} isn't built")
            continue
        function = Function(name)
        for kind, path in events:
            answer = function.call(json.loads(path.read_text()))
            served = not (isinstance(answer, dict) and answer.get("errorMessage")) and answer is not None or answer is None
            status = answer.get("statusCode", 200) if isinstance(answer, dict) else 200
            # The sample event's feed isn't in the bucket.
            right = rejected(answer) if kind == "s3" else served and status < 500
            expect(f"{path.name} {status}", right, answer)
        for what, event in wrong(name, {kind for kind, _ in events}):
            answer = function.call(event)
            expect(f"{name} rejects {what}", rejected(answer), answer)
        # It still works after the invalid events.
        kind, path = events[0]
        answer = function.call(json.loads(path.read_text()))
        again = rejected(answer) if kind == "s3" else not (isinstance(answer, dict) and answer.get("errorMessage"))
        expect(f"{name} still works", again, answer)
        log = function.end()
        seen = [word for word in NEVER if word in log]
        expect(f"{name} logs no panic or warning", not seen, log[-2000:])
    describe = json.loads((ROOT / "events/register.get.json").read_text())
    write = json.loads((ROOT / "events/register.post.json").read_text())
    starts("register", describe, write)
    trusts("register", write)
finally:
    portal.terminate()
    portal.wait()

raise SystemExit(f"{len(failures)} failed: {failures}" if failures else 0)
