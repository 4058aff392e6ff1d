"""A real Slurm of one node, this machine, in a folder of its own: munge, controller and daemon, other ports.

Needs Debian's `slurm-wlm` and `munge`; neither systemd, nor containers, nor a database, nor root. By hand:

    python tests/cluster/one_node.py sinfo
    python tests/cluster/one_node.py scan-lightning train -m hydra/launcher=submitit_slurm ...
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "srun", "scontrol", "squeue", "sinfo")
SYSTEM_FOLDERS = "/usr/sbin:/sbin"  # not on everybody's PATH
DAEMONS = ("munged", "slurmctld", "slurmd")
START_SECONDS, STOP_SECONDS = 60, 20
CONFIG = """\
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
SlurmdPort={daemon_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=30
RebootProgram=/bin/true
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs a cluster needs and this machine lacks."""
    return [name for name in PROGRAMS if _which(name) is None]


class OneNodeCluster:
    """The cluster, up inside a `with`; `environment` leads Slurm's commands to it.

    Args:
        cpus: what the node offers, whatever the machine has: so many one-core jobs run at a time.
    """

    def __init__(self, cpus: int = 2) -> None:
        self.cpus = cpus
        self.daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> OneNodeCluster:
        # Short, because a socket's path may hold 107 bytes only.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.folder.chmod(0o755)  # munge's clients want to reach the socket
        self.environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:{SYSTEM_FOLDERS}",
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def slurm(self, *words: str) -> str:
        """What a Slurm command prints."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """A job's state, such as RUNNING; empty when it has left the queue."""
        return self.slurm("squeue", "--noheader", "--format=%T", "--jobs", job)

    def logs(self) -> str:
        """The daemons' logs, for a failing test."""
        return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))

    def _start(self) -> None:
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o700)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        controller_port, daemon_port = free_ports(2)
        config = CONFIG.format(
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            folder=self.folder,
            cpus=self.cpus,
            controller_port=controller_port,
            daemon_port=daemon_port,
        )
        (self.folder / "slurm.conf").write_text(config)
        self._daemon(
            "munged",
            "--foreground",
            f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munge/pid",
            f"--log-file={self.folder}/munge/log",
            f"--seed-file={self.folder}/munge/seed",
        )
        self._wait("munge's socket", lambda: (self.folder / "munge.socket").exists())
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D")
        self._wait("the node", lambda: self._prints("idle", "sinfo", "--noheader", "--format=%T"))

    def _end_jobs(self) -> None:
        for words in (["--signal=KILL", "--full"], []):  # the processes, then the jobs
            command = ["scancel", *words, "--user", getpass.getuser()]
            subprocess.run(command, env=self.environment, capture_output=True, check=False)
        end = time.monotonic() + STOP_SECONDS
        while self._prints(" ", "squeue", "--noheader", "--format=%i %T") and time.monotonic() < end:
            time.sleep(0.2)

    def _daemon(self, name: str, *options: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as out:
            program = _which(name)
            assert program is not None
            self.daemons.append(
                subprocess.Popen(
                    [program, *options],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _prints(self, text: str, *words: str) -> bool:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        return text in done.stdout

    def _wait(self, what: str, ready: object) -> None:
        assert callable(ready)
        end = time.monotonic() + START_SECONDS
        while not ready():
            dead = [daemon for daemon in self.daemons if daemon.poll() is not None]
            if dead or time.monotonic() > end:
                raise RuntimeError(f"{what} did not come up\n{self.logs()}\n{self._printed()}")
            time.sleep(0.2)

    def _printed(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.out")))

    def _stop(self) -> None:
        if len(self.daemons) == len(DAEMONS):
            self._end_jobs()
        for daemon in reversed(self.daemons):  # munge last: the others need it to say goodbye
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}")


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


if __name__ == "__main__":
    if missing():
        sys.exit(f"not installed: {', '.join(missing())} (Debian: apt-get install slurm-wlm munge)")
    with OneNodeCluster() as cluster:
        sys.exit(subprocess.run(sys.argv[1:], env=cluster.environment, check=False).returncode)
