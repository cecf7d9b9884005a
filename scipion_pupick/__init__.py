# SPDX-License-Identifier: GPL-3.0-or-later
"""pupick: a particle picker for cryo-EM that learns from a few picks and no negatives."""

__version__ = "0.1.0"
