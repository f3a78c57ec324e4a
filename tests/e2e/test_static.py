#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The agent as one file that needs no library: what PC_STATIC names, as tests/release makes
it. In a chroot there is nothing but the file, /proc, and what a test puts there."""

import os
import shutil
import subprocess
import sys

from certs import Authority
from e2e import Pcc, Pcd, Skip, folder, run, wait_for

NAME = "pcd.test"
BUNDLES = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt")


def program():
    if not os.environ.get("PC_STATIC"):
        raise Skip("PC_STATIC names no static pcc; tests/release makes one")
    return os.environ["PC_STATIC"]


class Jail:
    """A folder with the program; under: what makes a command run in it."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Skip("only root can chroot")
        self.path = folder()
        shutil.copy(program(), self.file("pcc"))
        os.mkdir(self.file("proc"))
        self.under = ("unshare", "--mount", "sh", "-c",
                      f"mount --bind /proc {self.path}/proc && exec chroot {self.path} \"$@\"",
                      "sh")

    def file(self, name):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def delivers(self, pcd, url):
        """Does an agent in here deliver there?"""
        pcc = Pcc(pcd, under=self.under, program="/pcc", FREQUENCY="100ms", BATCH_SIZE="5",
                  SERVER_URL=url, environment={"SSL_CERT_FILE": ""})
        before = pcd.metrics()["pcd_measurements_total"]
        try:
            wait_for("measurements, or a word of what is wrong",
                     lambda: pcd.metrics()["pcd_measurements_total"] >= before + 20
                     or "event=delivery_failed" in pcc.log, 20)
        finally:
            pcc.stop()
        return pcd.metrics()["pcd_measurements_total"] >= before + 20


def tls_pcd():
    authority = Authority()
    certificate, key = authority.issue("server", host=NAME)
    pcd = Pcd(TLS_CERT=certificate, TLS_KEY=key)
    pcd.url = f"https://{pcd.host}:{pcd.port}"
    pcd.tls = authority.client()
    return pcd, authority


def test_the_file_asks_for_no_other():
    said = subprocess.run(["readelf", "--dynamic", "--program-headers", program()],
                          capture_output=True, text=True, check=True).stdout
    assert "NEEDED" not in said and "INTERP" not in said, said


def test_it_delivers_with_nothing_beside_it():
    jail, pcd = Jail(), Pcd()
    assert jail.delivers(pcd, pcd.url)
    assert pcd.stop() == 0, pcd.log


def test_names_are_resolved():
    jail, pcd = Jail(), Pcd()
    with open(jail.file("etc/hosts"), "w") as f:
        f.write(f"{pcd.host} {NAME}\n")
    assert jail.delivers(pcd, f"http://{NAME}:{pcd.port}")
    assert pcd.stop() == 0, pcd.log


def test_the_systems_authorities_are_found_and_others_not_trusted():
    pcd, authority = tls_pcd()
    for bundle in BUNDLES:
        jail = Jail()
        with open(jail.file("etc/hosts"), "w") as f:
            f.write(f"{pcd.host} {NAME}\n")
        shutil.copy(Authority().ca, jail.file(bundle))
        assert not jail.delivers(pcd, f"https://{NAME}:{pcd.port}")
        shutil.copy(authority.ca, jail.file(bundle))
        assert jail.delivers(pcd, f"https://{NAME}:{pcd.port}")
    assert pcd.stop() == 0, pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
