"""The benchmarks' load (bench/load/)."""

import json
import subprocess

from node import BUILD

LOAD = BUILD / "bench" / "load"
EAL = ["--no-pci", "--no-huge", "--no-telemetry", "--no-shconf", "-m", "64", "--lcores", "0"]


def run(*options):
    """Runs it to its end, whatever that is."""
    return subprocess.run([LOAD, *EAL, "--", *map(str, options)], capture_output=True, text=True, check=False, timeout=60)


def measure(sockets, *options, eal=(), until=lambda line: line["phase"] == "steady" and min(
        port["received"] for port in line["ports"]) > 500):
    """Lets it run between two devices' sockets until a line says so; all lines, the last one final."""
    ports = [] if eal else [word for path in sockets for word in ("--vhost-user", f"path={path}")]
    command = ["setpriv", "--pdeathsig", "KILL", LOAD, *EAL, *eal, "--", *ports, "--seconds", "100", "--drain", "5000",
               *map(str, options)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            lines.append(json.loads(text))
            if until(lines[-1]):
                process.terminate()
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert [line.get("final", False) for line in lines] == [False] * (len(lines) - 1) + [True]
    assert until(lines[-1]), lines[-1]
    return lines
