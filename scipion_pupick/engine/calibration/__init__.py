# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores as log-odds, and precision and recall estimated from them."""
