# SPDX-License-Identifier: GPL-3.0-or-later
"""From score maps to peaks, one for each particle."""
