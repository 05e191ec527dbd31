"""The fixtures of the system tests, and guests."""

import pathlib
import sys

import pytest

SYSTEM = pathlib.Path(__file__).resolve().parents[1] / "system"
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(SYSTEM)]

pytest.register_assert_rewrite("lab", "netns", "node", "packets", "workload", "guest", "image", "node_guest")

import importlib.util  # noqa: E402

import image as images  # noqa: E402
from guest import Guest  # noqa: E402
from node import BUILD  # noqa: E402

_spec = importlib.util.spec_from_file_location("system_conftest", SYSTEM / "conftest.py")
_system = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_system)
for _name in ("family", "make_lab", "one_lab", "daemons_are_well", "pytest_sessionstart", "pytest_sessionfinish",
              "pytest_runtest_makereport"):
    globals()[_name] = getattr(_system, _name)


@pytest.fixture(scope="session")
def image():
    return images.build(BUILD / "lab")


@pytest.fixture(scope="session")
def node_image():
    return images.build_node(BUILD / "lab", [BUILD / "sluiced", BUILD / "sluice"])


@pytest.fixture(scope="module")
def start_guest(image):
    """Starts guests that end with the module."""
    guests = []

    def start(name, lab, nics, boot=True, **options):
        guest = Guest(name, lab.directory, image if boot else (None, None), nics, **options)
        guests.append(guest)
        return guest

    yield start
    for guest in guests:
        guest.stop()
