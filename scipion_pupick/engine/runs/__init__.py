# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders that picking and training write: every file name, and how they are read again."""
