# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole jobs, from files to files: one module and one function for each command."""
