# SPDX-License-Identifier: GPL-3.0-or-later
"""Choice of the processor, its threads and its fast number type."""

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from scipion_pupick.engine import device
from scipion_pupick.engine.device import (
    choose_device,
    choose_devices,
    describe_device,
    fast_dtype,
    fast_in_eight_bits,
    memory_errors_explained,
    set_threads,
    usable_cores,
)
from scipion_pupick.engine.errors import PupickError, UsageError

HAS_GPU = torch.cuda.is_available()
CPU = torch.device("cpu")


@pytest.fixture
def cpu_info(tmp_path, monkeypatch):
    """Function that writes what the system tells of the processor."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(device, "CPU_INFO", path)
    return path.write_text


def test_the_cpu_can_be_chosen():
    assert choose_device("cpu") == CPU


def test_auto_takes_what_is_there_and_says_so(caplog):
    caplog.set_level(logging.INFO)
    chosen = choose_device("auto")
    assert chosen == torch.device("cuda:0" if HAS_GPU else "cpu")
    assert choose_device() == chosen
    assert describe_device(chosen) in caplog.text


@pytest.fixture
def two_gpus(monkeypatch):
    """Let PyTorch count two GPUs; nothing is computed on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")


def test_several_gpus_can_be_named_and_all_means_all(two_gpus):
    both = [torch.device("cuda:0"), torch.device("cuda:1")]
    assert choose_devices("cuda:0,cuda:1") == choose_devices("all") == both
    assert choose_devices("cuda:1, cuda:0") == both[::-1]
    assert choose_devices("auto") == both[:1]


@pytest.mark.parametrize("names", ["cuda:0,cuda:0", "cuda,cuda:0", "cpu,cuda:0", "cpu,cpu"])
def test_devices_that_do_not_go_together_are_refused(names, two_gpus):
    with pytest.raises(UsageError, match="do not go together"):
        choose_devices(names)


@pytest.mark.parametrize("names", ["cuda:0,cuda:2", "cuda:0,", "cuda:0,gpu", "all,cuda:0"])
def test_each_of_several_devices_must_be_there(names, two_gpus):
    with pytest.raises(UsageError):
        choose_devices(names)


@pytest.mark.skipif(HAS_GPU, reason="has a GPU")
def test_all_gpus_are_the_cpu_where_there_is_none():
    assert choose_devices("all") == [CPU]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpu",
        "CPU",
        "cpu:0",
        "mps",
        "cuda:",
        "cuda:-1",
        "cuda:01",
        "cuda:1.5",
        "cuda:٣",
        " cuda",
    ],
)
def test_another_name_is_refused(name):
    with pytest.raises(
        UsageError, match="There is no device .*auto, cpu, cuda or cuda:N"
    ) as caught:
        choose_device(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("number", ["256", "65536", "99999999999999999999"])
def test_numbers_that_pytorch_would_wrap_round_are_refused(number):
    with pytest.raises(UsageError, match=f"There is no device 'cuda:{number}'"):
        choose_device(f"cuda:{number}")


def test_a_gpu_that_is_not_there_names_what_to_do():
    with pytest.raises(
        UsageError, match="'cuda:99' was asked for, .* sees .* GPUs: compute on"
    ) as caught:
        choose_device("cuda:99")
    assert caught.value.settings == ("device",)


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:10"])
def test_without_a_gpu_the_error_names_pytorch_and_what_to_do(name):
    with pytest.raises(UsageError, match="sees 0 GPUs: compute on the CPU, or install") as caught:
        choose_device(name)
    assert repr(name) in str(caught.value)
    assert torch.__version__ in str(caught.value)


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
def test_a_gpu_can_be_chosen():
    assert choose_device("cuda").type == "cuda"
    assert choose_device("cuda:0") == torch.device("cuda:0")
    assert torch.cuda.get_device_name(0) in describe_device(torch.device("cuda:0"))


def test_the_cpu_is_described_with_its_threads():
    torch.set_num_threads(2)
    assert describe_device(CPU) == "the CPU (2 threads)"


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set(threads):
    assert set_threads(threads) == threads
    assert torch.get_num_threads() == threads


def test_no_number_of_threads_means_all_cores():
    assert set_threads(0) == usable_cores() == torch.get_num_threads()


def test_negative_threads_are_refused():
    before = torch.get_num_threads()
    with pytest.raises(UsageError, match="-3 threads were asked for: give 1 or more, or 0"):
        set_threads(-3)
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_only_cores_that_the_process_may_use_are_counted(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "OWN_GROUPS", Path("none"))
    allowed = os.sched_getaffinity(0)
    assert usable_cores() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse2 avx2 avx512f amx_bf16 amx_tile amx_int8", torch.bfloat16),
        ("fpu avx512f avx512_bf16", torch.bfloat16),
        ("avx512_bf16", torch.bfloat16),
        ("fpu sse2 avx2 avx512f avx512_vnni", torch.float32),
        ("fpu not_avx512_bf16 avx512_bf16x amx_tile", torch.float32),
        ("", torch.float32),
    ],
)
def test_half_precision_where_the_processor_multiplies_it(cpu_info, flags, expected):
    cores = [
        f"processor\t: {core}\nmodel name\t: Some CPU amx_bf16 @ 2 GHz\n"
        f"vmx flags\t: avx512_bf16\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n"
        for core in range(2)
    ]
    cpu_info("\n".join(cores))
    assert fast_dtype(CPU) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu sse2 avx avx2 fma", True), ("fpu sse2 avx", False), ("avx20 xavx2", False), ("", False)],
)
def test_eight_bits_where_the_processor_multiplies_them(cpu_info, flags, expected):
    cpu_info(f"model name\t: avx2\nflags\t\t: {flags}\n")
    assert fast_in_eight_bits(CPU) == expected
    assert not fast_in_eight_bits(torch.device("cuda:0"))


def test_single_precision_where_the_processor_names_no_flags(cpu_info):
    cpu_info("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert fast_dtype(CPU) == torch.float32


@pytest.mark.usefixtures("cpu_info")
def test_single_precision_where_the_system_does_not_tell():
    assert fast_dtype(CPU) == torch.float32


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
def test_half_precision_on_a_gpu_that_has_it():
    has_it = torch.cuda.get_device_capability(0) >= (8, 0)
    expected = torch.bfloat16 if has_it else torch.float32
    assert fast_dtype(torch.device("cuda:0")) == expected


def raise_error(error):
    raise error


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (
            lambda: raise_error(torch.cuda.OutOfMemoryError("CUDA out of memory.")),
            r"GPU has too little free memory.*compute on the CPU",
        ),
        (lambda: torch.empty(2**58, dtype=torch.uint8), "computer has too little free memory"),
        (lambda: np.empty(2**58, np.uint8), "computer has too little free memory"),
        (
            lambda: raise_error(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))),
            "computer has too little free memory",
        ),
    ],
    ids=["gpu", "PyTorch", "NumPy", "system"],
)
def test_where_memory_runs_out_users_are_told_what_to_do(work, told):
    with pytest.raises(PupickError, match=told), memory_errors_explained():
        work()


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), FileNotFoundError("a.mrc")])
def test_other_errors_pass(error):
    with pytest.raises(type(error), match=str(error)), memory_errors_explained():
        raise error


@pytest.mark.parametrize(
    ("asked", "counted"), [("1", 1), ("2,4", 2), ("99", 8), ("", 8), ("0", 8), ("many", 8)]
)
def test_the_number_of_threads_in_the_environment_is_heeded(asked, counted, monkeypatch):
    monkeypatch.setattr(device, "OWN_GROUPS", Path("none"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert usable_cores() == counted


@pytest.mark.parametrize(
    ("own", "files", "counted"),
    [
        ("0::/job\n", {"job/cpu.max": "300000 100000\n"}, 3),
        ("0::/job/step\n", {"job/cpu.max": "150000 100000\n", "job/step/cpu.max": "max 1\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        (
            "3:cpu,cpuacct:/job\n1:memory:/x\n",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            "3:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("0::/job\n", {"job/cpu.max": "max 100000\n"}, 8),
        ("0::/job\n", {"job/cpu.max": "what"}, 8),
        ("odd", {}, 8),
    ],
)
def test_the_share_of_the_control_group_is_heeded(own, files, counted, tmp_path, monkeypatch):
    (tmp_path / "own").write_text(own, encoding="utf-8")
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(device, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(device, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert usable_cores() == counted
