# SPDX-License-Identifier: GPL-3.0-or-later
"""From a micrograph to a normalised working image, in which every particle has the same width."""
