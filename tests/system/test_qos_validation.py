"""Wrong QosPolicies, and every line that `apply` says about each."""

import pytest

from test_validation import errors

SOUND = """
{kind: Node, name: a}
---
{kind: Network, name: blue, vni: 5001, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1}]}
---
{kind: QosPolicy, name: gold, ingress: {rate: 100M}, egress: {rate: 100M, burst: 1M}, dscp: 46}
---
{kind: QosPolicy, name: bronze, dscp: 0}
---
{kind: QosPolicy, name: promised, minimum: 1M}
---
{kind: QosPolicy, name: coloured, ingress: {rate: 1.5M, peak: 2M, peakBurst: 20k, excessDscp: 12},
 egress: {rate: 8k, burst: 2k, excessBurst: 2k, excessDscp: 0}}
---
{kind: SecurityGroup, name: web, qosPolicy: gold, rules: [{direction: egress}, {direction: ingress, qosPolicy: bronze}]}
---
{kind: Port, name: one, node: a, network: blue, mac: 52:54:00:00:00:01, addresses: [10.1.0.11], qosPolicy: coloured,
 device: {vhostUser: {path: /run/slt/one.sock}}}
"""


def policy(*lines):
    return "\n".join(["kind: QosPolicy", "name: n", *lines]) + "\n"


WRONG = [
    (policy(), ["1: QosPolicy/n: needs one of ingress, egress, dscp, minimum"]),
    (policy("ingress: {}"), ["3: QosPolicy/n: ingress.rate: missing"]),
    (policy("egress: {burst: 64k}"), ["3: QosPolicy/n: egress.rate: missing"]),
    (policy("egress: {rate: fast}"),
     ["3: QosPolicy/n: egress.rate: 'fast' is no number of bits a second, as 500k, 100M or 2.5G"]),
    (policy("egress: {rate: 100m}"),
     ["3: QosPolicy/n: egress.rate: '100m' is no number of bits a second, as 500k, 100M or 2.5G"]),
    (policy("egress: {rate: -5M}"),
     ["3: QosPolicy/n: egress.rate: '-5M' is no number of bits a second, as 500k, 100M or 2.5G"]),
    (policy("egress: {rate: 8000.5}"),
     ["3: QosPolicy/n: egress.rate: '8000.5' is no number of bits a second, as 500k, 100M or 2.5G"]),
    (policy("egress: {rate: 0}"), ["3: QosPolicy/n: egress.rate: 0 is not 8k to 400G bits a second"]),
    (policy("egress: {rate: 7999}"), ["3: QosPolicy/n: egress.rate: 7999 is not 8k to 400G bits a second"]),
    (policy("egress: {rate: 401G}"), ["3: QosPolicy/n: egress.rate: 401G is not 8k to 400G bits a second"]),
    (policy("egress: {rate: 99999999999999999999}"),
     ["3: QosPolicy/n: egress.rate: '99999999999999999999' is no number of bits a second, as 500k, 100M or 2.5G"]),
    (policy("ingress:", "  rate: 1M", "  burst: much"),
     ["5: QosPolicy/n: ingress.burst: 'much' is no number of bytes, as 1500, 64k or 1M"]),
    (policy("ingress: {rate: 1M, burst: 1999}"), ["3: QosPolicy/n: ingress.burst: 1999 is less than 2000 bytes"]),
    (policy("ingress: {rate: 8k, burst: 61k}"), ["3: QosPolicy/n: ingress.burst: 61k is more than a minute's bytes"]),
    (policy("ingress: {rate: 2M, peak: 2M}"), ["3: QosPolicy/n: ingress.peak: 2M is not more than the rate"]),
    (policy("ingress: {rate: 2M, peak: top}"),
     ["3: QosPolicy/n: ingress.peak: 'top' is no number of bits a second, as 500k, 100M or 2.5G"]),
    (policy("ingress: {rate: 2M, peakBurst: 20k}"), ["3: QosPolicy/n: ingress.peakBurst: is of no use without peak"]),
    (policy("ingress: {rate: 2M, peak: 3M, peakBurst: 5}"),
     ["3: QosPolicy/n: ingress.peakBurst: 5 is less than 2000 bytes"]),
    (policy("ingress: {rate: 2M, excessDscp: 5}"),
     ["3: QosPolicy/n: ingress.excessDscp: is of no use without peak or excessBurst"]),
    (policy("ingress: {rate: 2M, excessBurst: 64k}"),
     ["3: QosPolicy/n: ingress.excessBurst: is of no use without excessDscp"]),
    (policy("ingress: {rate: 2M, peak: 3M, excessBurst: 64k, excessDscp: 1}"),
     ["3: QosPolicy/n: ingress.excessBurst: is given beside peak, only one of them may be"]),
    (policy("ingress: {rate: 2M, peak: 3M, excessDscp: 64}"), ["3: QosPolicy/n: ingress.excessDscp: 64 is not 0 to 63"]),
    (policy("ingress: {rate: 2M, queueMilliseconds: 201}"),
     ["3: QosPolicy/n: ingress.queueMilliseconds: 201 is not 0 to 200"]),
    (policy("ingress: {rate: 2M, peak: 3M, excessDscp: 6, queueMilliseconds: 5}"),
     ["3: QosPolicy/n: ingress.queueMilliseconds: is of no use with excessDscp: nothing waits"]),
    (policy("minimum: some"), ["3: QosPolicy/n: minimum: 'some' is no number of bits a second, as 500k, 100M or 2.5G"]),
    (policy("minimum: 1k"), ["3: QosPolicy/n: minimum: 1k is not 8k to 400G bits a second"]),
    ("kind: Node\nname: n\nvtep: 192.0.2.9/24\nuplink: {netdev: up0, rate: wire}\n",
     ["4: Node/n: uplink.rate: 'wire' is no number of bits a second, as 500k, 100M or 2.5G"]),
    ("kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0, rate: 10M}\n---\n"
     "kind: QosPolicy\nname: n\nminimum: 6M\n---\n"
     + "---\n".join(f"kind: Port\nname: n{i}\nnode: a\nnetwork: blue\nmac: 52:54:00:00:00:1{i}\nqosPolicy: n\n"
                    f"device: {{tap: {{name: t{i}}}}}\n" for i in (1, 2)),
     ["23: Port/n2: qosPolicy: the minimums on Node/a are more than the 10M of its uplink (<stdin>:4)"]),
    (policy("dscp: 64"), ["3: QosPolicy/n: dscp: 64 is not 0 to 63"]),
    (policy("dscp: ef"), ["1: QosPolicy/n: needs one of ingress, egress, dscp, minimum", "3: QosPolicy/n: dscp: must be a whole number, not 'ef'"]),
    (policy("dcsp: 5"), ["1: QosPolicy/n: needs one of ingress, egress, dscp, minimum", "3: QosPolicy/n: dcsp: unknown field, did you mean 'dscp'?"]),
    ("kind: SecurityGroup\nname: n\nqosPolicy: golf\n",
     ["3: SecurityGroup/n: qosPolicy: no QosPolicy 'golf', did you mean 'gold'?"]),
    ("kind: SecurityGroup\nname: n\nrules: [{direction: egress, qosPolicy: nothing}]\n",
     ["3: SecurityGroup/n: rules[0].qosPolicy: no QosPolicy 'nothing'"]),
    ("kind: SecurityGroup\nname: n\nqosPolicy: promised\n",
     ["3: SecurityGroup/n: qosPolicy: QosPolicy/promised has a minimum, which only Ports can have"]),
    ("kind: SecurityGroup\nname: n\nrules: [{direction: egress, qosPolicy: promised}]\n",
     ["3: SecurityGroup/n: rules[0].qosPolicy: QosPolicy/promised has a minimum, which only Ports can have"]),
    ("kind: QosPolicy\nname: bronze\nminimum: 1M\n",
     ["3: SecurityGroup/web: rules[1].qosPolicy: QosPolicy/bronze has a minimum, which only Ports can have"]),
    ("kind: SecurityGroup\nname: n\nrules:\n" + 257 * "- {direction: egress, qosPolicy: gold}\n",
     ["260: SecurityGroup/n: rules[256].qosPolicy: more than 256 rules with a policy"]),
    ("kind: Port\nname: n\nnode: a\nnetwork: blue\nmac: 52:54:00:00:00:02\ndevice: {tap: {name: t}}\nqosPolicy: silver\n",
     ["7: Port/n: qosPolicy: no QosPolicy 'silver'"]),
]


@pytest.fixture(scope="module")
def node(make_lab):
    node = make_lab().nodes["a"]
    node.ok("apply", "-f", "-", input=SOUND)
    return node


def test_wrong_policies(node):
    before = node.json("get", "qospolicies")
    said = [(text, errors(node, text)) for text, _ in WRONG]
    assert said == WRONG
    assert node.json("get", "qospolicies") == before


@pytest.mark.parametrize("name, message", [
    ("gold", "SecurityGroup/web: qosPolicy: no QosPolicy 'gold'"),
    ("bronze", "SecurityGroup/web: rules[1].qosPolicy: no QosPolicy 'bronze'"),
    ("coloured", "Port/one: qosPolicy: no QosPolicy 'coloured'"),
])
def test_what_others_name_stays(node, name, message):
    result = node.run("delete", "qospolicy", name)
    assert result.returncode == 1 and message in result.stderr
