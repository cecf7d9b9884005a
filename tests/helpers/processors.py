# SPDX-License-Identifier: GPL-3.0-or-later
"""Processors that this machine may not have."""


def pretend(folder, monkeypatch, flags):
    """Have the engine take the processor for one with these flags."""
    from scipion_pupick.engine import device

    (folder / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    monkeypatch.setattr(device, "CPU_INFO", folder / "cpuinfo")


def without_bfloat16(folder, monkeypatch):
    """Have networks scored in single precision, as what is compared may hang on rounding."""
    pretend(folder, monkeypatch, "fpu sse2")
