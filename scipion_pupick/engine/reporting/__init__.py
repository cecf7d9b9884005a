# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: one HTML file in which to look at picks and to choose a threshold."""
