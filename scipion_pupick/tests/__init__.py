# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that `scipion3 tests --grep pupick` finds in an installation."""
