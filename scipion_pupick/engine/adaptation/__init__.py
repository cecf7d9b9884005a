# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the general model to the micrographs that it picks in, without any label."""
