# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, called within the test's process, or started as a program of its own.

A new process takes seconds to load PyTorch. So a test starts one only where it is about the process
itself: signals and kills, its memory, its environment, what it loads.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from scipion_pupick.engine.cli.main import main


def call_pupick(*arguments):
    """Run the command line within this process: exit code, standard output and error."""
    output, error = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(error), _logging_to(error), _same_signals():
        try:
            code = main([*map(str, arguments)])
        except SystemExit as exit_of_parser:
            code = exit_of_parser.code
    return code, output.getvalue(), error.getvalue()


@contextmanager
def _logging_to(stream):
    """Write the log to a stream as `pupick` does, which sets up no logging where there is some."""
    root, handler = logging.getLogger(), logging.StreamHandler(stream)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@contextmanager
def _same_signals():
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def start_pupick(*arguments, environment=None, **options):
    """Start the command line in a process of its own, which heeds Ctrl-C even where this does not.

    A shell starts what runs in its background with Ctrl-C ignored, and children inherit that.
    """
    command = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from scipion_pupick.engine.cli.main import main; sys.exit(main())"
    )
    return subprocess.Popen(
        [sys.executable, "-c", command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        **options,
    )


def run_pupick(*arguments, **options):
    """Run the command line in a process of its own: exit code, standard output and error."""
    process = start_pupick(*arguments, **options)
    output, error = process.communicate(timeout=120)
    return process.returncode, output, error
