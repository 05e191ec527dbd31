"""The README's tour, pasted into a shell: every command works, and shows what the text says."""

import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize("example", sorted(os.listdir(os.path.join(ROOT, "docs/examples"))))
def test_examples(one_lab, example):
    """What the documentation shows is valid."""
    one_lab().nodes["a"].ok("apply", "--dry-run", "-f", os.path.join(ROOT, "docs/examples", example))


def tour():
    with open(os.path.join(ROOT, "README.md")) as file:
        return re.findall(r"^```sh\n(.*?)^```$", file.read(), re.S | re.M)


@pytest.fixture
def no_demo():
    """Ends the demo if the tour fails in the middle. One that somebody else runs is not ours to end."""
    if os.path.exists("/run/sluice-demo"):
        pytest.fail("a demo is running; end it by scripts/demo --stop")
    yield
    subprocess.run(["scripts/demo", "--stop"], cwd=ROOT, check=False, timeout=60)


@pytest.mark.skipif(os.environ.get("SLUICE_BUILD", "").rstrip("/") not in ("", os.path.join(ROOT, "build")),
                    reason="the tour builds and uses build/")
def test_tour(no_demo, tmp_path):
    blocks = tour()
    assert len(blocks) >= 6
    # One shell, as for a reader; it says which block it is in, and stops at the first command that fails.
    script = "set -e\n" + "".join(f"echo '#{number}'\n{block}\n" for number, block in enumerate(blocks))
    output = tmp_path / "output"
    with open(output, "w") as file:
        status = subprocess.run(["bash", "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file,
                                stderr=subprocess.STDOUT, timeout=300, check=False).returncode
    text = output.read_text()
    # What failed says so before logs are shown.
    failed = "\n".join(line for line in text.splitlines() if line.startswith(("demo:", "make:", "#")))
    assert status == 0, f"{failed}\n{text[-3000:]}"
    by_block = re.split(r"^#\d+$", text, flags=re.M)[1:]
    assert "client-1 in  IP 10.1.0.11 > 10.1.0.12: ICMP echo request" in by_block[3] and "uplink out" in by_block[3]
    assert "drop security-group-ingress" in by_block[4]
    assert by_block[5].rstrip().endswith("allow") or re.search(r"^allow", by_block[5], re.M)
    assert re.search(r"sluice-wrong\.yaml:\d+: SecurityGroup/web: rules\[1\]\.remote\.group: ", by_block[6])
    assert "status 1" in by_block[6]
    assert re.search(r"Route out: by port web-[12]$", by_block[8], re.M) and "allow to uplink" in by_block[8]
    nat, = [block for block in by_block if "Nat nat: from 10.1.0.11 port 40000 as 198.51.100.6" in block]
    assert "Nat nat: 64:ff9b::c000:250 is 192.0.2.80" in nat and nat.count("allow to uplink") == 2
    balanced, = [block for block in by_block if "200 from 10.2.0.100" in block]
    assert re.search(r"LoadBalancer web: to member web-[12],", balanced) and balanced.count("state: up") == 4
    qos, = [block for block in by_block if "QosPolicy/bronze created" in block]
    assert re.search(r"^ +packets: [2-9]$", qos, re.M)
    assert not os.path.exists("/run/sluice-demo")
