"""Calls the API of a stack that was deployed to an emulator of AWS, through its REST gateway."""

import json
import os
import urllib.error
import urllib.request

import boto3

STACK = "vestibule"
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]

stacks = boto3.client("cloudformation")
outputs = {o["OutputKey"]: o["OutputValue"] for o in stacks.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]}
resources = {}
for page in stacks.get_paginator("list_stack_resources").paginate(StackName=STACK):
    resources |= {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in page["StackResourceSummaries"]}
api = resources["Api"]
failures = []


def call(method, path, body=None, headers=None):
    url = f"{ENDPOINT}/restapis/{api}/live/_user_request_{path}"
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    text = answer.read().decode()
    try:
        return answer.status, json.loads(text), answer.headers
    except ValueError:
        return answer.status, text, answer.headers


def expect(what, got, wanted):
    right = got == wanted
    print(f"{'ok  ' if right else 'FAIL'} {what}" + ("" if right else f": {got!r}, not {wanted!r}"))
    if not right:
        failures.append(what)


status, portal, headers = call("GET", "/group")
expect("a portal is described (register)", (status, portal.get("portal")), (200, "group"))
expect("nothing is stored on the way", headers.get("cache-control"), "no-store")

status, refused, _ = call("POST", "/group/sessions", {"user_name": "nobody.at.all", "password": "Quiet-Harbor-77"})
expect("an unknown name can't sign in (sign-in)", (status, refused.get("type")), (401, "urn:vestibule:problem:sign-in-failed"))

status, refused, _ = call("POST", "/group/registrations", {
    "way": "group", "proof": {"group_number": "GR20001", "tax_id_last4": "4567"}, "first_name": "Ruth",
    "last_name": "Okafor", "email": "ruth@blueheron.example", "user_name": "ruth.okafor",
    "password": "Quiet-Harbor-77", "may_sign": True})
expect("who is in no record can't register (register)", (status, refused.get("type")), (403, "urn:vestibule:problem:registration-refused"))

status, asked, _ = call("POST", "/group/user-name-reminders", {"email": "ruth@blueheron.example"})
expect("a reminder is taken, whoever asks (reset-password)", status, 202)

for path, function in [("invitations", "invite"), ("users", "manage-users"), ("me", "my-profile"), ("pin/letter", "activate-pin")]:
    status, refused, _ = call("GET", f"/group/{path}")
    expect(f"without a session nobody sees {path} ({function})", (status, refused.get("type")), (401, "urn:vestibule:problem:not-signed-in"))

status, _, headers = call("OPTIONS", "/group/sessions", headers={
    "origin": "http://localhost:8600", "access-control-request-method": "POST"})
expect("a portal's page may ask", (status, headers.get("access-control-allow-origin")), (200, "http://localhost:8600"))

status, _, _ = call("GET", "/group/no-such-thing")
expect("what isn't a route isn't there", status in (403, 404), True)

schedules = [s["Name"] for s in boto3.client("scheduler").list_schedules()["Schedules"]]
expect("schedules are there", len(schedules) > 0, True)
mappings = boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"]
expect("the stream is read", [m["FunctionResponseTypes"] for m in mappings], [["ReportBatchItemFailures"]])

raise SystemExit(f"{len(failures)} failed" if failures else 0)
