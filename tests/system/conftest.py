"""Fixtures: laboratories live as long as a module; after each test all daemons must be well."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

pytest.register_assert_rewrite("captures", "lab", "netns", "node", "packets", "transfer", "workload")

import netns  # noqa: E402
from lab import Lab  # noqa: E402
from transfer import Datagrams, Stream  # noqa: E402

FAMILIES = ("v4", "v6")


def pytest_sessionstart():
    netns.sweep()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    for lab in list(Lab.live):
        lab.down()


@pytest.fixture(params=FAMILIES)
def family(request):
    """Each test with this runs for IPv4 and for IPv6."""
    return request.param


def labs():
    """Gives a function that makes labs, and ends them all."""
    made = []

    def make(*args, **kwargs):
        lab = Lab(*args, **kwargs)
        made.append(lab)
        return lab

    yield make
    problems = []
    for lab in made:
        try:
            lab.down()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module")
def make_lab():
    """Makes labs that end with the module."""
    yield from labs()


@pytest.fixture
def one_lab():
    """Makes labs that end with the test."""
    yield from labs()


@pytest.fixture
def stream(lab, family, to):
    """A TCP connection from the module's `client` to its `to`."""
    made = Stream(lab, to, family)
    yield made
    made.cut()


@pytest.fixture
def datagrams(lab, family, to):
    """Two UDP sockets, of the module's `client` and its `to`."""
    made = Datagrams(lab, to, family)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def daemons_are_well():
    yield
    for lab in Lab.live:
        lab.check()


@pytest.fixture(scope="module")
def api(make_lab):
    """The API socket of a running node that has no objects."""
    return make_lab().nodes["a"].api


@pytest.fixture(scope="module")
def api_socket(api):
    return api


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for lab in Lab.live:
            for node in lab.nodes.values():
                report.sections.append((f"log of node {node.name}", node.text()[-4000:]))
                report.sections.append((f"stats of node {node.name}", node.run("stats").stdout))
