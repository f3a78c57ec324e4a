#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""TLS: which versions, who is let in, and certificates that change while pcd runs."""

import os
import socket
import ssl
import sys

from certs import Authority, Proxy
from e2e import Pcc, Pcd, folder, run, wait_for


def careless_openssl():
    """An OpenSSL configuration that takes any version and cipher, where it is compiled in:
    what refuses is then the program, not the system's settings."""
    path = os.path.join(folder(), "openssl.cnf")
    with open(path, "w") as f:
        f.write("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
                "MinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n")
    return path


# pcc


def hello_versions(listener):
    """Takes a connection and returns the versions that its ClientHello names."""
    connection, _ = listener.accept()
    with connection:
        hello = connection.recv(65536)
    # RFC 8446 section 4.2.1: extension 43, its length, the list's length, the versions.
    at = hello.index(b"\x00\x2b\x00", 40)
    n = hello[at + 4]
    found = hello[at + 5:at + 5 + n]
    return {found[i:i + 2] for i in range(0, n, 2)}


def test_pcc_offers_tls_1_2_and_1_3_only():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        os.environ["OPENSSL_CONF"] = careless_openssl()
        try:
            pcc = Pcc(f"https://127.0.0.1:{listener.getsockname()[1]}", FREQUENCY="50ms",
                      DURATION="300ms", TIMEOUT="1s", CONNECT_TIMEOUT="1s")
        finally:
            del os.environ["OPENSSL_CONF"]
        assert hello_versions(listener) == {b"\x03\x03", b"\x03\x04"}
    pcc.wait()


def test_pcc_resumes_its_tls_session_behind_a_proxy():
    authority = Authority()
    certificate = authority.issue("proxy")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        pcd = Pcd()
        proxy = Proxy(pcd, certificate, version)
        pcc = Pcc(proxy.url, FREQUENCY="20ms", BATCH_SIZE="5", TLS_CA=authority.ca,
                  TIMEOUT="1s")
        # A stall is a failure of the transport, and pcc begins anew with all but the
        # session.
        for n, how in enumerate(("close", "stall", "close", "stall"), 1):
            before = len(pcd.stored("test-host"))
            wait_for("batches", lambda: len(pcd.stored("test-host")) > before)
            proxy.end_all(how)
            wait_for("a connection", lambda: len(proxy.resumed) > n)
        wait_for("the rest", lambda: len(pcd.stored("test-host")) > before)
        assert pcc.stop() == 0, pcc.log
        assert proxy.resumed[0] is False, proxy.resumed
        assert all(proxy.resumed[1:]), proxy.resumed
        assert pcd.stop() == 0, pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
