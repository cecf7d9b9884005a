# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks and score maps compared with reference particles."""
