# SPDX-License-Identifier: GPL-3.0-or-later
"""Several commands in one process, for programs that have many."""

import json
import os
import subprocess
import sys

import pytest
from helpers.simulated import MODEL


@pytest.mark.slow
def test_commands_are_carried_out_one_after_the_other_until_the_input_closes():
    answers, others_end = os.pipe()
    command = [sys.executable, "-m", "scipion_pupick.engine", "session", "--answers"]
    session = subprocess.Popen(
        [*command, str(others_end)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(others_end,),
        text=True,
    )
    os.close(others_end)
    calls = (["model", "show", str(MODEL)], ["model", "show", "no.safetensors"], ["nonsense"])
    with os.fdopen(answers) as codes:
        for call in calls:
            session.stdin.write(json.dumps(call) + "\n")
            session.stdin.flush()
        assert [int(codes.readline()) for _ in calls] == [0, 2, 2]
        said, errors = session.communicate(timeout=60)
        assert codes.read() == ""
    assert '"network"' in said
    assert "no.safetensors" in errors
    assert "invalid choice: 'nonsense'" in errors
