# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line `pupick`: arguments in, one engine function, a summary out."""
