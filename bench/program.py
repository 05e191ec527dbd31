"""The benchmark's own C programs."""

import os
import shlex
import subprocess

import machine
from children import Failure


def build(name, directory, *libraries):
    """Compiles bench/NAME.c; returns the program's path."""
    source = os.path.join(machine.ROOT, "bench", name + ".c")
    program = os.path.join(directory, name)
    if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
        return program
    flags = ""
    try:
        if libraries:
            flags = subprocess.run(["pkg-config", "--cflags", "--libs", *libraries], capture_output=True, text=True,
                                   check=True).stdout
        subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O3", "-march=native", "-o", program, source,
                        *shlex.split(flags)], check=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failure(f"bench/{name}.c could not be built: {error}") from None
    return program


def make(*names):
    """Builds programs that meson knows, with the build directory that `make` made; their paths."""
    build_directory = os.path.join(machine.ROOT, "build")
    if not os.path.exists(os.path.join(build_directory, "build.ninja")):
        raise Failure("build/build.ninja: not there; run make first")
    done = subprocess.run(["ninja", "-C", build_directory, *(f"bench/{name}" for name in names)], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if "rror" in line] or done.stdout.splitlines()[-1:]
        raise Failure(f"bench/{', '.join(names)} could not be built: {said[0] if said else ''}")
    return [os.path.join(build_directory, "bench", name) for name in names]
