# SPDX-License-Identifier: GPL-3.0-or-later
"""A page, served on this computer alone, in which people correct the picks of a run."""
