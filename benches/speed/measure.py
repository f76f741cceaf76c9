"""Running one process and saying what it cost; what the machine is."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16")


@dataclass
class Run:
    """One process, from its start to its end."""

    #: Seconds from process start until the last of its standard output was there.
    result_s: float
    #: Seconds from process start to process end.
    exit_s: float
    #: User and system seconds of the process and the children it waited for.
    cpu_s: float
    #: Peak resident memory in MB (10^6 bytes) of the process or of its largest child.
    peak_mb: float
    #: Cores that others kept busy meanwhile: 0 on a quiet machine.
    others_cores: float

    def as_dict(self) -> dict:
        """The fields by name, rounded to what the clock can tell."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


class Failed(RuntimeError):
    """A measured process ended badly."""


def busy_s() -> float:
    """Seconds that all cores together were busy since the machine started, stolen time included."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / TICKS


def run(command: list[str], environment: dict[str, str], log: Path) -> tuple[Run, str]:
    """Runs `command`, with standard error in `log`; returns what it cost and what it printed.

    Raises `Failed` with the end of the log when it exits with anything but 0.
    """
    busy_before = busy_s()
    with log.open("wb") as errors:
        started = time.perf_counter()
        # stdin closed and no shell: what is timed is the command alone.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
        printed, result_s = b"", 0.0
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            printed += chunk
            result_s = time.perf_counter() - started
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        exit_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu_s = usage.ru_utime + usage.ru_stime
    if process.returncode != 0:
        tail = log.read_text(errors="replace")[-2000:]
        raise Failed(f"{' '.join(command)}\nended with {process.returncode}:\n{tail}")
    others = max(0.0, busy_s() - busy_before - cpu_s) / exit_s
    cost = Run(
        result_s=result_s or exit_s,
        exit_s=exit_s,
        cpu_s=cpu_s,
        peak_mb=usage.ru_maxrss * 1024 / 1e6,
        others_cores=others,
    )
    return cost, printed.decode("utf-8", "replace")


def wait_for_quiet(limit_cores: float, patience_s: float) -> None:
    """Waits until others keep fewer than `limit_cores` busy over two seconds, or `patience_s`."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        before, started = busy_s(), time.monotonic()
        time.sleep(2)
        if (busy_s() - before) / (time.monotonic() - started) < limit_cores:
            return


def machine() -> dict:
    """CPU model, cores this process may use, CPU features, memory, kernel."""
    info = Path("/proc/cpuinfo").read_text()
    fields = {}
    for line in info.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": fields.get("model name", platform.processor()),
        "family_model_stepping": "/".join(
            fields.get(key, "?") for key in ("cpu family", "model", "stepping")
        ),
        "cores": len(os.sched_getaffinity(0)),
        "features": [feature for feature in FEATURES if feature in flags],
        "memory_gb": round(memory_kb * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "system": platform.system(),
    }
