# SPDX-License-Identifier: GPL-3.0-or-later
"""Training the general model on simulated micrographs."""
