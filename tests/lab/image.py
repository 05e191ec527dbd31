"""What a guest boots: Debian's kernel and a small initramfs, from Debian's packages. Nothing of it is installed here."""

import os
import pathlib
import re
import shutil
import subprocess

# In the order in which they are loaded.
MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "failover",
           "net_failover", "virtio_net", "llc", "stp", "garp", "mrp", "8021q"]
PROGRAMS = ["iperf3", "ethtool", "ip", "ss", "tracepath", "dhcpcd"]
# Of a guest in which sluiced runs, and drives PCI devices by itself.
NODE_MODULES = ["llc", "stp", "garp", "mrp", "8021q", "uio", "uio_pci_generic", "irqbypass", "vfio", "vfio_iommu_type1",
                "vfio_virqfd", "vfio-pci-core", "vfio-pci"]
NODE_PROGRAMS = ["ip"]
HERE = pathlib.Path(__file__).resolve().parent
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /tmp /run/dhcpcd /var/lib/dhcpcd /var/run
{modules}
ip link set lo up
/agent < /dev/ttyS0 > /dev/ttyS0 2>&1 &
# Orphans are this process's: a child that ends while busybox's `read` waits costs what was read by then.
while :; do wait; sleep 1; done
"""
# Runs what the test types, and says where its output ends, and with which status.
AGENT = r"""#!/bin/sh
stty -F /dev/ttyS0 raw -echo
# busybox would take its own.
ip() { /usr/bin/ip "$@"; }
ss() { /usr/bin/ss "$@"; }
echo "@@ready"
while read -r line; do
	eval "$line" < /dev/null
	echo "@@status $?"
done
"""
# What busybox's udhcpc calls with what it was given.
UDHCPC = """#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr replace "$ip/$mask" dev "$interface"
[ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; done
set > "/run/dhcp.$interface"
"""
PASSWD = "root:x:0:0::/:/bin/sh\ndhcpcd:x:100:100::/run/dhcpcd:/bin/false\n_dhcpcd:x:100:100::/run/dhcpcd:/bin/false\n"


def _run(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{' '.join(map(str, command))}: {result.stderr or result.stdout}"
    return result.stdout


def _download(directory, package):
    """The package's files, unpacked in a directory of its own; from an earlier run if they are there."""
    [uri] = re.findall(r"^'\S+' (\S+)", _run("apt-get", "download", "--print-uris", package), re.M)
    unpacked = directory / uri.removesuffix(".deb")
    if not unpacked.exists():
        _run("apt-get", "-q", "download", package, cwd=directory)
        [file] = directory.glob(f"{package}_*.deb")
        half = unpacked.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        _run("dpkg-deb", "-x", file, half)
        file.unlink()
        half.rename(unpacked)
    return unpacked


def _kernel_package():
    """The one that the meta package stands for now."""
    depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True,
                             check=False).stdout
    if "Depends:" not in depends:
        _run("apt-get", "-q", "update")
        depends = _run("apt-cache", "depends", "linux-image-cloud-amd64")
    return re.search(r"Depends: (linux-image-\S+)", depends)[1]


def _libraries(program):
    return re.findall(r"(/\S+) \(0x", _run("ldd", program))


def _put(root, source, target=None):
    to = root / str(target or source).lstrip("/")
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, to)


def build_node(directory, programs):
    """With programs of the build's own, by their paths."""
    return build(directory, "node", NODE_MODULES, NODE_PROGRAMS + list(programs))


def build(directory, name="guest", modules=tuple(MODULES), programs=tuple(PROGRAMS)):
    """Kernel and initramfs."""
    directory.mkdir(parents=True, exist_ok=True)
    kernel = _download(directory, _kernel_package())
    busybox = _download(directory, "busybox-static")
    root = directory / name
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("bin", "proc", "sys", "dev", "etc", "modules"):
        (root / folder).mkdir(parents=True)
    _put(root, busybox / "bin/busybox", "bin/busybox")
    for wanted in programs:
        program = shutil.which(wanted)
        assert program, f"{wanted} is missing: scripts/install-packages lab"
        _put(root, os.path.realpath(program), f"/usr/bin/{os.path.basename(wanted)}")
        for file in _libraries(program):
            _put(root, file)
    lines = []
    for module in modules:
        # What is no file is built into the kernel.
        for file in kernel.glob(f"lib/modules/*/kernel/**/{module}.ko"):
            _put(root, file, f"modules/{module}.ko")
            lines.append(f"insmod /modules/{module}.ko")
    for path, text in (("init", INIT.replace("{modules}", "\n".join(lines))), ("agent", AGENT),
                       ("etc/udhcpc", UDHCPC), ("etc/passwd", PASSWD), ("etc/dhcpcd.conf", "duid\n")):
        (root / path).write_text(text, encoding="utf-8")
        (root / path).chmod(0o755)
    files = _run("find", ".", "-mindepth", "1", cwd=root)
    initramfs = directory / f"{name}.initramfs"
    with open(initramfs, "wb") as output:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=files.encode(), stdout=output, cwd=root, check=True)
    [image] = kernel.glob("boot/vmlinuz-*")
    return image, initramfs


if __name__ == "__main__":
    print(*build(HERE.parents[1] / "build" / "lab"))
