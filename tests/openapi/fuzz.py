"""Runs Schemathesis against `cargo portal`, once for each sample person, with that person's portal in the path."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
PORTAL = HERE.parent.parent / "target/debug/portal"
SCHEMATHESIS = pathlib.Path(sys.executable).absolute().parent / "schemathesis"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,valid_requests_are_read"
)
# What ends the session of the person who calls, or takes the person's account away.
NOT_CALLED = ["sign_out", "end_session", "change_password", "choose_username", "complete_password_reset"]
# A sample person whose account is disabled.
INACTIVE = ["cole.lind"]
START_WITHIN = 600
# Most of the time goes to responses that are delayed to reveal nothing, so several people call at once.
AT_ONCE = 6


def call(method, url, body=None, token=None):
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def start(data):
    """Starts the system and returns the process and its address."""
    # Without required factors, every role reaches its operations with the password.
    command = [PORTAL, "--port", "0", "--data", data, "--optional-factors"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + START_WITHIN
    base = None
    for line in process.stdout:
        if "Vestibule runs at" in line:
            base = line.split("runs at")[1].split()[0].rstrip("/")
        if "Press Ctrl-C" in line and base:
            return process, base
        if time.monotonic() > deadline:
            break
    process.kill()
    raise SystemExit("cargo portal did not start")


def with_portal(document, portal):
    """Returns the document with one portal in each path."""
    document = json.loads(json.dumps(document))
    # A program sends the token. A generated cookie without an origin would be refused before anything is read.
    del document["components"]["securitySchemes"]["cookie"]
    for item in document["paths"].values():
        for operation in item.values():
            if operation.get("security"):
                operation["security"] = [{"session": []}]
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] == "portal":
                    parameter["schema"] = {"type": "string", "enum": [portal]}
    return document


def stop(process):
    process.terminate()
    process.wait()


def fuzz(base, document, person, folder, phases):
    """Calls every operation as a person. Returns whether all went well."""
    portal, username = person["portal"], person["username"]
    body = {"username": username, "password": person["password"], "token_delivery": "body"}
    status, session = call("POST", f"{base}/{portal}/sessions", body)
    if status != 201:
        print(f"{portal} {username} cannot sign in: {status} {session}")
        return False
    file = folder / f"{portal}-{username}.json"
    file.write_text(json.dumps(with_portal(document, portal)))
    command = [
        SCHEMATHESIS, "run", file,
        "--url", base, "--header", f"Authorization: Bearer {session['token']}",
        "--checks", CHECKS, "--mode", "positive", "--phases", phases,
        "--max-examples", os.environ.get("EXAMPLES", "20"),
        "--seed", os.environ.get("SEED", "1"), "--continue-on-failure", "--no-shrink",
    ]
    for operation in NOT_CALLED:
        command += ["--exclude-operation-id", operation]
    environment = dict(
        os.environ,
        SCHEMATHESIS_HOOKS="hooks",
        FINDINGS=str(folder / "findings"),
        PYTHONPATH=str(HERE),
        HYPOTHESIS_STORAGE_DIRECTORY=str(folder / "hypothesis"),
    )
    # Schemathesis leaves its cache in the working directory.
    own = folder / f"{portal}-{username}-cache"
    own.mkdir()
    done = subprocess.run(command, env=environment, cwd=own, check=False, stdout=subprocess.PIPE, text=True)
    print(f"\n== {portal}: {username} ({session.get('next_step', 'no pending step')})\n{done.stdout}", flush=True)
    return done.returncode == 0


def fuzz_alone(document, person, folder, phases):
    """Calls every operation as a person, on a system of their own, because administrators remove users."""
    data = folder / f"{person['portal']}-{person['username']}"
    shutil.copytree(folder / "sample", data)
    process, base = start(data)
    try:
        return fuzz(base, document, person, folder, phases)
    finally:
        stop(process)
        shutil.rmtree(data)


def main():
    wanted = set(sys.argv[1:])
    document = json.loads(subprocess.check_output([PORTAL, "openapi"]))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        stop(start(folder / "sample")[0])
        people = json.loads((folder / "sample" / "people.json").read_text())["people"]
        portals = set()
        calls = []
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for person in people:
                portal, username = person["portal"], person["username"]
                if wanted and not wanted & {portal, username}:
                    continue
                if not person.get("password") or username in INACTIVE:
                    continue
                # What the document says of bounds is the same for everyone on a portal.
                phases = "fuzzing" if portal in portals else "coverage,fuzzing"
                portals.add(portal)
                calls.append((f"{portal} {username}", threads.submit(fuzz_alone, document, person, folder, phases)))
        failed = [name for name, call in calls if not call.result()]
        findings = folder / "findings"
        if findings.exists():
            print("\nValid requests that were rejected:")
            print("\n".join(sorted(set(findings.read_text().splitlines()))))
    print("\n" + (f"Failed: {', '.join(failed)}" if failed else "Every request went as described."))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
