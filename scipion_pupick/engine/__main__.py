# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m scipion_pupick.engine`, for callers that know an interpreter but not its programs."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
