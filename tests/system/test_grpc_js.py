"""The API as the official client of Node.js sees it: npm's @grpc/grpc-js with @grpc/proto-loader, in the versions of
tests/grpc-js/package-lock.json, installed into the build directory."""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from node import BUILD

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "grpc-js"
SERVICES = ["sluice.v1.Sluice", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"]
# gRPC's status codes.
OK, CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED = \
    0, 1, 3, 4, 5, 8, 12


@pytest.fixture(scope="module")
def modules():
    """The folder with the packages; made once for a lock file."""
    directory = pathlib.Path(BUILD) / "grpc-js"
    lock = (SOURCE / "package-lock.json").read_bytes()
    directory.mkdir(exist_ok=True)
    with open(directory / "busy", "w", encoding="ascii") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        done = directory / "installed"
        if not done.exists() or done.read_bytes() != lock:
            done.unlink(missing_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCE / name, directory)
            result = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=directory,
                                    capture_output=True, text=True, check=False, timeout=300)
            assert result.returncode == 0, result.stderr
            done.write_bytes(lock)
    return directory / "node_modules"


@pytest.fixture(scope="module")
def see(api, modules):
    def run(what):
        result = subprocess.run(["node", SOURCE / "client.js", api, what], capture_output=True, text=True, check=False,
                                timeout=120, env={**os.environ, "NODE_PATH": str(modules)})
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


def test_objects(see):
    assert see("objects") == {"node": "a", "changes": [["Network", "js-a", "ACTION_CREATED"]], "mtu": 1400,
                              "revisions": 1, "gone": NOT_FOUND}


def test_many_and_large(see):
    assert see("many") == {"answers": 500, "changes": 20000}


def test_streams(see):
    assert see("streams") == {"flows": OK, "cancelled": CANCELLED, "late": DEADLINE_EXCEEDED,
                              "states": ["SERVING", "SERVING"]}


def test_health(see):
    assert see("health") == {"states": ["SERVING", "SERVING"], "unknown": NOT_FOUND,
                             "list": {name: "SERVING" for name in [*SERVICES, ""]}}


def test_reflection(see):
    expected = {"code": OK, "services": SERVICES, "error": NOT_FOUND, "node": "a"}
    assert see("reflection") == {"v1": expected, "v1alpha": expected}


def test_details(see):
    seen = see("details")
    assert seen["code"] == INVALID_ARGUMENT and "js-ü" in seen["text"]
    assert seen["status"] == [INVALID_ARGUMENT, seen["text"]]
    (own, problems), (standard, request) = seen["details"]
    assert (own, standard) == ("sluice.v1.Problems", "google.rpc.BadRequest")
    assert {(p["kind"], p["name"], p["field"]) for p in problems["problems"]} == \
        {("Network", "js-ü", "name"), ("Network", "js-ü", "vrf")}
    assert {v["field"] for v in request["fieldViolations"]} == {"objects[0].network.name", "objects[0].network.vrf"}


def test_compression_is_refused_with_what_is_accepted(see):
    assert see("compression") == {"code": UNIMPLEMENTED, "status": str(UNIMPLEMENTED), "accepted": "identity"}


def test_limits(see):
    assert see("limits") == {"headers": RESOURCE_EXHAUSTED, "message": RESOURCE_EXHAUSTED, "node": "a"}


def test_too_many_pings(see):
    """That connection ends (grpc-js says RESOURCE_EXHAUSTED for ENHANCE_YOUR_CALM), and others do not."""
    seen = see("pings")
    assert seen["code"] == RESOURCE_EXHAUSTED and seen["node"] == "a", seen
