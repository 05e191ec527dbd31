"""Certificates for tests, made with openssl as the documentation says."""

import itertools
import os
import pathlib
import time

import netns

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
_numbers = itertools.count(1)


class Certificate:
    """The paths of a certificate and its key."""

    def __init__(self, directory, name):
        number = next(_numbers)
        self.crt = directory / f"{name}-{number}.crt"
        self.key = directory / f"{name}-{number}.key"


# For `openssl ca`, which can say the second in which a certificate ends.
CONFIGURATION = """
[ca]
default_ca = own
[own]
new_certs_dir = {directory}
database = {directory}/index
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
organizationName = optional
commonName = optional
"""


class Authority:
    def __init__(self, directory, name="ca"):
        self.directory = pathlib.Path(directory)
        self.own = Certificate(self.directory, name)
        self.crt = self.own.crt
        netns.run("openssl", "req", "-x509", *KEY, "-days", "30", "-subj", f"/CN={name}", "-keyout", self.own.key,
                  "-out", self.crt)

    def issue(self, subject, names=None, days=30, usage=None):
        """A certificate; names as DNS:a,IP:192.0.2.1,URI:spiffe://example.org/x."""
        made = Certificate(self.directory, "leaf")
        request = made.crt.with_suffix(".csr")
        extensions = [f"subjectAltName={names}"] if names else []
        if usage:
            extensions.append(f"extendedKeyUsage={usage}")
        netns.run("openssl", "req", *KEY, "-subj", subject, "-keyout", made.key, "-out", request,
                  *[part for extension in extensions for part in ("-addext", extension)])
        netns.run("openssl", "x509", "-req", "-in", request, "-CA", self.crt, "-CAkey", self.own.key,
                  "-copy_extensions", "copy", "-days", str(days), "-out", made.crt)
        return made

    def issue_for(self, seconds, subject):
        """A certificate that ends soon."""
        made = Certificate(self.directory, "brief")
        request, configuration = made.crt.with_suffix(".csr"), self.directory / "ca.cnf"
        configuration.write_text(CONFIGURATION.format(directory=self.directory), encoding="ascii")
        (self.directory / "index").touch()
        end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))
        netns.run("openssl", "req", *KEY, "-subj", subject, "-keyout", made.key, "-out", request)
        netns.run("openssl", "ca", "-batch", "-notext", "-config", configuration, "-cert", self.crt, "-keyfile",
                  self.own.key, "-enddate", end, "-in", request, "-out", made.crt)
        return made


def replace(path, source):
    """As a renewal does: never half a file."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(source.read_bytes())
    os.replace(fresh, path)
