# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all, JSON, STAR and text, and working through many files."""
