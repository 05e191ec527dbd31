"""The devices under test, by name. A further one is a module with NAME, TITLE and a class Device like these."""

from device import ovs, sluice, testpmd

DEVICES = {module.NAME: module for module in (sluice, ovs, testpmd)}
