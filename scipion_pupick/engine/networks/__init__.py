# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that score every region of a working image, and the files that hold them."""
