"""Processes and temporary directories that a benchmark starts; all end with it, whatever happens."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time


class Failure(Exception):
    """What could not be measured, and why, in one line."""


_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


_ALL_CPUS = os.sched_getaffinity(0)


def _prepare_child():
    # Even a killed benchmark leaves no busy core behind.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The benchmark itself and its short commands keep off the device's CPU; what is measured may use all.
    os.sched_setaffinity(0, _ALL_CPUS)
    # What is measured goes before what looks at it.
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    # Where the kernel groups processes by session (autogroup), the above counts within the session only.
    try:
        with open("/proc/self/autogroup", "w") as file:
            file.write("-10")
    except OSError:
        pass


def _prepare_command():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One process. Its output goes to a file; `limit` seconds after its start it is killed."""

    def __init__(self, name, command, directory, limit, env=None):
        self.name = name
        self.log = os.path.join(directory, name + ".log")
        self.command = command
        with open(self.log, "wb") as log:
            # A session of its own: Ctrl-C ends the children in our order, not all at once.
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, cwd=directory,
                env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=_prepare_child)
        self.timer = threading.Timer(limit, self.process.kill)
        self.timer.daemon = True
        self.timer.start()

    def output(self):
        with open(self.log, "r", errors="replace") as log:
            return log.read()

    def write(self, line):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            self.check()

    def check(self):
        """Raises Failure if the process has ended."""
        status = self.process.poll()
        if status is not None:
            said = [line.strip() for line in self.output().splitlines() if line.strip()]
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            raise Failure(f"{self.name} {how}" + (f", after: {said[-1]}" if said else ""))

    def wait_for(self, found, seconds, what):
        """Waits until found(output) is true, and returns its value."""
        deadline = time.monotonic() + seconds
        while True:
            value = found(self.output())
            if value:
                return value
            self.check()
            if time.monotonic() > deadline:
                raise Failure(f"{self.name}: no {what} within {seconds} s")
            time.sleep(0.05)

    def wait_end(self, seconds):
        """Waits until the process has ended by itself, successfully; its output."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: not done within {seconds} s") from None
        if status != 0:
            self.check()
        return self.output()

    def stop(self):
        self.timer.cancel()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.process.stdin.close()


class Stage:
    """A temporary directory, and the processes of one measurement. A context manager.

    After a Failure, what the processes wrote is kept in the directory `logs`.
    """

    def __init__(self, logs=None):
        self.logs = logs
        self.children = []

    def __enter__(self):
        # Short: a socket's path has room for 107 characters.
        self.directory = tempfile.mkdtemp(prefix="sluice-bench-", dir="/tmp")
        return self

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, name, command, limit=300, env=None):
        child = Child(name, command, self.directory, limit, env)
        self.children.append(child)
        return child

    def check(self):
        """Raises Failure if one of the processes has ended."""
        for child in self.children:
            child.check()

    def run(self, command, seconds=30, env=None):
        """Runs a short command to its end and returns what it printed."""
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=seconds, env={**os.environ, **(env or {})},
                                  preexec_fn=_prepare_command)
        except subprocess.TimeoutExpired:
            raise Failure(f"{os.path.basename(command[0])}: not done within {seconds} s") from None
        except OSError as error:
            raise Failure(f"{command[0]}: {error.strerror}") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise Failure(f"{os.path.basename(command[0])}: {said[-1] if said else done.returncode}")
        return done.stdout

    def __exit__(self, kind, error, trace):
        for child in reversed(self.children):
            child.stop()
        if isinstance(error, Failure) and self.logs:
            os.makedirs(self.logs, exist_ok=True)
            for child in self.children:
                shutil.copy(child.log, self.logs)
        shutil.rmtree(self.directory, ignore_errors=True)
