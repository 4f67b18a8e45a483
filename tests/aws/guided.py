"""Runs `sam deploy --guided` as a person does, in a pseudo-terminal: presses Enter at every prompt, except where there is no default.

    python tests/aws/guided.py COMMAND...
"""

import os
import pty
import re
import select
import sys

# The text of a prompt that Enter does not answer as intended, and what to type.
TYPED = {"Parameter MailDomain": "harborlight.example", "Deploy this changeset?": "y"}
MAX_PROMPTS = 60

pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "dumb"
    os.execvp(sys.argv[1], sys.argv[1:])

shown, prompts, answered = "", [], 0
while True:
    ready, _, _ = select.select([terminal], [], [], 1)
    if ready:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        shown += data.decode(errors="replace")
        continue
    # Nothing more is shown: an unfinished line is a prompt.
    line = re.sub(r"\x1b\[[0-9;]*m", "", shown[answered:].rsplit("\n", 1)[-1]).strip()
    if not line.endswith(":") or len(prompts) >= MAX_PROMPTS:
        continue
    typed = next((answer for text, answer in TYPED.items() if text in line), "")
    prompts.append(line)
    answered = len(shown)
    os.write(terminal, f"{typed}\n".encode())

_, status = os.waitpid(pid, 0)
print(f"\n{len(prompts)} prompts")
# SAM asks whether each route may do without an authorizer, and Enter would abort: the functions authenticate.
if any("no authentication" in prompt for prompt in prompts):
    sys.exit("a prompt asks whether a route needs authentication")
sys.exit(os.waitstatus_to_exitcode(status))
