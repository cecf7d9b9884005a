# SPDX-License-Identifier: GPL-3.0-or-later
"""A SLURM of one node, on this computer, from Debian's packages slurmctld, slurmd, munge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo")
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
# what of their programs Debian installs for the superuser alone
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def can_run():
    """Whether SLURM is installed, and may be started: that is the superuser's."""
    return os.getuid() == 0 and all(shutil.which(program, path=PATH) for program in PROGRAMS)


@contextmanager
def running_slurm(folder):
    """Run SLURM while the block does; give the environment in which its commands work."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            ports=_free_ports(2),
            folder=folder,
            cores=os.cpu_count(),
        )
    )
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(configuration)}
    files = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munge.log"}
    files = {**files, "pid-file": "munge.pid", "seed-file": "munge.seed"}
    munge = [f"--{option}={folder / name}" for option, name in files.items()]
    with ExitStack() as stack:
        for command in (
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D", "-i"],
            ["slurmd", "-D"],
        ):
            stack.enter_context(_running(command, folder, environment))
        _wait_for_the_node(folder, environment)
        yield environment
        subprocess.run(["scancel", "--user=root", "--full"], env=environment, check=False)
        time.sleep(1.0)


def _free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _running(command, folder, environment):
    with (folder / f"{command[0]}.out").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_the_node(folder, environment):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        said = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True
        )
        if said.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    logs = [path.read_text(errors="replace")[-2000:] for path in sorted(folder.glob("*.log"))]
    raise TimeoutError("SLURM does not come up:\n" + "\n".join(logs))
