"""What the benchmark runs on: huge pages, EAL's memory options, the facts that belong to a result."""

import functools
import os
import platform
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Open vSwitch takes 390 huge pages of buffers, the load 40.
BUFFER_PAGES = 512


def read_file(path):
    """What is in it; nothing, where it can't be read."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


class HugePages:
    """Reserves huge pages, and gives back at the end what was not there before. A context manager."""

    def __init__(self, count):
        self.count = count
        self.script = os.path.join(ROOT, "scripts", "hugepages")
        self.setting = "/sys/kernel/mm/hugepages/hugepages-2048kB/"

    def __enter__(self):
        self.before = int(read_file(self.setting + "nr_hugepages") or 0)
        self.mounts = read_file("/proc/mounts")
        # Beside what others have in use.
        count = self.before - self.free() + self.count
        subprocess.run([self.script, str(count)], stdout=subprocess.DEVNULL, check=False)
        return self

    def free(self):
        return int(read_file(self.setting + "free_hugepages") or 0)

    def enough(self):
        """For the buffers of all processes; a large connection table does without, if need be."""
        return self.free() >= min(self.count, BUFFER_PAGES)

    def __exit__(self, kind, error, trace):
        if int(read_file(self.setting + "nr_hugepages") or 0) != self.before:
            subprocess.run([self.script, "--exactly", str(self.before)], stdout=subprocess.DEVNULL, check=False)
        if " /dev/hugepages " not in self.mounts and " /dev/hugepages " in read_file("/proc/mounts"):
            subprocess.run(["umount", "/dev/hugepages"], check=False)


def eal_options(cores, name, huge, memory):
    """Options for one DPDK process. `memory` in MiB is taken where there are no huge pages."""
    options = ["--lcores", cores, "--no-pci", "--no-telemetry", "--file-prefix", name]
    if huge:
        return options + ["--in-memory", "--single-file-segments"]
    return options + ["--no-huge", "-m", str(memory)]


def package_version(name):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def own_memory(pid):
    """Bytes of a sluiced's own: neither packet buffers, connection table nor DPDK's memory, which are files in memory."""
    size, counted = 0, False
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                path = line.split(None, 5)[5].strip() if len(line.split(None, 5)) > 5 else ""
                counted = not re.search(r"memfd:|hugepages|/dev/shm|bpf-map|rtemap", path)
            elif counted and line.startswith("Rss:"):
                size += int(line.split()[1]) * 1024
    return size


def _caches():
    """Of the first CPU, as {"L2": "2048K"}."""
    found = {}
    base = "/sys/devices/system/cpu/cpu0/cache"
    for index in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        kind = read_file(f"{base}/{index}/type").strip()
        if kind in ("Data", "Unified"):
            found["L" + read_file(f"{base}/{index}/level").strip()] = read_file(f"{base}/{index}/size").strip()
    return found


def describe():
    info = read_file("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.*)", info)
    memory = re.search(r"MemTotal:\s*(\d+)", read_file("/proc/meminfo"))
    system = re.search(r'PRETTY_NAME="(.*)"', read_file("/etc/os-release"))
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cpus": os.cpu_count(),
        "virtual": "hypervisor" in info,
        "tscMHz": round(tsc_hz() / 1e6),
        "caches": _caches(),
        "memoryGiB": round(int(memory.group(1)) / (1 << 20)) if memory else None,
        "system": system.group(1) if system else platform.system(),
        "kernel": platform.release(),
        "compiler": package_version("gcc-12"),
        "dpdk": package_version("dpdk-dev"),
    }


@functools.lru_cache(maxsize=None)
def tsc_hz():
    """Ticks of the time stamp counter in a second, as the kernel has measured it against other clocks."""
    found = re.search(r"cpu MHz\s*:\s*([\d.]+)", read_file("/proc/cpuinfo"))
    return float(found.group(1)) * 1e6 if found else 1e9
