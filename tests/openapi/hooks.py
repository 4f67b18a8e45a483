"""The check that no valid request is rejected as malformed, and a new source address for each request."""

import itertools
import os
import pathlib
import re
import tomllib

import schemathesis

ACCEPTED = [
    (re.compile(entry["field"]), re.compile(entry["detail"]))
    for entry in tomllib.loads((pathlib.Path(__file__).parent / "accepted.toml").read_text())["accepted"]
]
SOURCES = itertools.count()
# A request that the server understood and did not want: the right to it, its object, or the moment is missing.
UNDERSTOOD = {401, 403, 404, 409, 410, 429}


def is_accepted(error):
    return any(field.fullmatch(error["field"]) and detail.search(error["detail"]) for field, detail in ACCEPTED)


@schemathesis.hook
def before_call(context, case, kwargs):
    # Limits per source address would hide what is behind them.
    number = next(SOURCES)
    case.headers["x-forwarded-for"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@schemathesis.check
def valid_requests_are_read(ctx, response, case):
    status = response.status_code
    if status < 400 or status >= 500 or status in UNDERSTOOD:
        return
    problem = response.json()
    if "error" in problem:
        # The endpoints of OAuth (RFC 6749, 5.2) report a client that does not authenticate and a malformed request alike.
        return
    errors = problem.get("errors") or [{"field": "", "detail": problem["type"].rsplit(":", 1)[-1]}]
    unexpected = [error for error in errors if not is_accepted(error)]
    with open(os.environ["FINDINGS"], "a") as findings:
        for error in unexpected:
            findings.write(f"{status} {case.operation.label}: {error['field']} {error['detail']}\n")
    assert not unexpected, f"{status} for a valid request: {unexpected}"
