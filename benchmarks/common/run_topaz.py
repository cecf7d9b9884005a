# SPDX-License-Identifier: GPL-3.0-or-later
"""Start Topaz where torchvision came without compiled operators that fit this torch.

Topaz uses torchvision only to rotate images, which is plain torch code, but `import torchvision`
fails when its operator library cannot be loaded (a GPU build beside a CPU-only torch). Declaring
the two operators that it looks up lets the import pass. Run by `topaz_environment`, never imported.
"""

import runpy

import torch

for operator in ("nms", "qnms"):
    torch.library.define(
        f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou) -> Tensor"
    )

runpy.run_module("topaz.main", run_name="__main__", alter_sys=True)
