# SPDX-License-Identifier: GPL-3.0-or-later
"""pupick as a job of a RELION project: the External job type of RELION 3.1, 4 and 5."""
