# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick-topaz`: pupick behind the part of Topaz's command line that other programs call.

Such programs hand over downsampled images and coordinates in px of these, and know neither a
diameter nor a pixel size. So here the pixel size of every image is 1 (Å/px), and a diameter in px
stands for one in Å.
"""
