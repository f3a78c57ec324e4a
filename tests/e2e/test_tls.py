#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""TLS: which versions, who is let in, and certificates that change while pcd runs."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading

from certs import Authority, Proxy
from e2e import KEY, PATIENCE, Pcc, Pcd, Wire, folder, measurements, run, wait_for


def careless_openssl():
    """An OpenSSL configuration that takes any version and cipher, where it is compiled in:
    what refuses is then the program, not the system's settings."""
    path = os.path.join(folder(), "openssl.cnf")
    with open(path, "w") as f:
        f.write("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
                "MinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n")
    return path


class TlsPcd(Pcd):
    """A pcd that speaks TLS, with a certificate of its own authority."""

    def __init__(self, authority=None, **options):
        self.authority = authority or Authority()
        self.files = self.authority.issue("server")
        super().__init__(TLS_CERT=self.files[0], TLS_KEY=self.files[1], **options)
        self.url = f"https://{self.host}:{self.port}"
        self.tls = self.authority.client()

    def handshake(self, context=None, session=None):
        """A connection of its own that a test may look at."""
        plain = socket.create_connection((self.host, self.port), 30 * PATIENCE)
        return (context or self.tls).wrap_socket(plain, server_hostname=self.host,
                                                 session=session)

    def shown(self, context=None):
        """The certificate that it shows now."""
        with self.handshake(context) as s:
            return s.getpeercert(True)

    def show(self, files):
        """Replaces certificate and key, each in one step, the one after the other."""
        for new, old in zip(files, self.files):
            shutil.copy(new, old + ".new")
            os.replace(old + ".new", old)


def der(path):
    with open(path) as f:
        return ssl.PEM_cert_to_DER_cert(f.read())


def get(s, path):
    """One request over a socket; returns (status, whether it is the last)."""
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\napikey: {KEY}\r\n\r\n".encode())
    answer = http.client.HTTPResponse(s)
    answer.begin()
    answer.read()
    return answer.status, answer.will_close


# Versions and ciphers


def test_only_tls_1_2_and_1_3_with_modern_ciphers():
    pcd = TlsPcd()
    pcd.tls = pcd.authority.client()
    openssl = ["openssl", "s_client", "-connect", f"{pcd.host}:{pcd.port}", "-CAfile",
               pcd.authority.ca, "-verify_return_error"]
    env = {**os.environ, "OPENSSL_CONF": careless_openssl()}

    def connects(*args):
        done = subprocess.run([*openssl, *args], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30 * PATIENCE)
        assert "no ciphers available" not in done.stderr, (args, done.stderr)
        assert "no cipher match" not in done.stderr, (args, done.stderr)
        found = re.search(r"^New, (\S+), Cipher is (\S+)", done.stdout, re.MULTILINE)
        return found and found.group(2) not in ("(NONE)", "0000") and found.group(2)

    assert connects("-tls1_2").startswith("ECDHE-")
    assert connects("-tls1_3").startswith("TLS_")
    for good in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                 "ECDHE-ECDSA-CHACHA20-POLY1305"):
        assert connects("-tls1_2", "-cipher", good) == good
    for bad in (("-tls1",), ("-tls1_1",), ("-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"),
                ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"),
                ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"),
                ("-tls1_2", "-cipher", "DHE:@SECLEVEL=0"),
                ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"),
                ("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256")):
        assert not connects(*bad), bad
    assert pcd.stop() == 0, pcd.log


def test_an_rsa_certificate_does_too():
    authority = Authority()
    certificate, key = authority.issue("rsa", key=("-newkey", "rsa:2048", "-nodes"))
    pcd = Pcd(TLS_CERT=certificate, TLS_KEY=key)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        pcd.tls = authority.client(version=version)
        assert pcd.request("GET", "/healthz")[0] == 200
    assert pcd.stop() == 0, pcd.log


def test_sessions_are_resumed_until_the_certificate_changes():
    pcd = TlsPcd()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = pcd.authority.client(version=version)
        session = None
        for attempt in range(3):
            with pcd.handshake(context, session) as s:
                assert s.session_reused == (attempt > 0), (version, attempt)
                assert get(s, "/healthz") == (200, False)
                session = s.session
        pcd.show(pcd.authority.issue("other"))
        pcd.process.send_signal(signal.SIGHUP)
        wait_for("the new one", lambda: pcd.shown() == der(pcd.files[0]))
        with pcd.handshake(context, session) as s:
            assert not s.session_reused, version
            assert get(s, "/healthz") == (200, False)
    assert pcd.stop() == 0, pcd.log


# Client certificates


def test_clients_without_the_right_certificate_are_refused():
    clients = Authority("clients")
    pcd = TlsPcd(TLS_CLIENT_CA=clients.ca)
    strangers = Authority("strangers")
    rows = ((None, "needed"),
            (strangers.issue("client", "clientAuth"), "issuer is unknown"),
            (clients.issue("server", "serverAuth"), "purpose"),
            (clients.issue("old", "clientAuth", days=-1), "expired"))
    good = clients.issue("good", "clientAuth")
    batch = {"identifier": "h", "measurements": measurements(1)}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for certificate, reason in rows:
            pcd.tls = pcd.authority.client(certificate, version)
            with contextlib.closing(pcd.connect()) as connection:
                # Whether pcd is well is nobody's secret, and settles nothing.
                assert pcd.request("GET", "/healthz", connection=connection)[0] == 200
                status, headers, answer = pcd.post(batch, connection=connection)
                assert status == 403 and reason in answer.decode(), (version, status, answer)
                assert headers["Connection"] == "close"
            for path in ("/metrics", "/v1/ping", "/nowhere"):
                assert pcd.request("GET", path)[0] == 403, path
            # The answer comes before a large body has.
            wire = Wire(pcd)
            wire.send(b"POST /v1/trickle HTTP/1.1\r\nHost: x\r\napikey: %s\r\n"
                      b"Content-Length: 8000000\r\n\r\n" % KEY.encode())
            assert wire.answer()[0] == 403
            wire.close()
        pcd.tls = pcd.authority.client(good, version)
        with contextlib.closing(pcd.connect()) as connection:
            for _ in range(3):
                assert pcd.post(batch, connection=connection)[0] == 200
        # A session that is resumed brings the certificate with it, good or not.
        for certificate, wanted in ((good, 200), (rows[1][0], 403)):
            context = pcd.authority.client(certificate, version)
            session = None
            for attempt in range(2):
                with pcd.handshake(context, session) as s:
                    assert s.session_reused == (attempt > 0)
                    assert get(s, "/metrics")[0] == wanted
                    session = s.session
    assert pcd.wait_stored("h", 6).count(b"\n") == 6
    pcd.tls = pcd.authority.client(good)
    assert pcd.metrics()['pcd_requests_total{route="trickle",code="403"}'] == 16
    assert pcd.stop() == 0, pcd.log


def test_pcc_shows_its_certificate():
    clients = Authority("clients")
    pcd = TlsPcd(TLS_CLIENT_CA=clients.ca)
    certificate, key = clients.issue("agent", "clientAuth")
    options = {"FREQUENCY": "50ms", "DURATION": "500ms", "TLS_CA": pcd.authority.ca}
    pcc = Pcc(pcd, TLS_CERT=certificate, TLS_KEY=key, **options)
    assert pcc.wait() == 0, pcc.log
    pcd.wait_stored("test-host", 5)
    # Without one it keeps what it has, and says why.
    pcc = Pcc(pcd, IDENTIFIER="stranger", **options)
    assert pcc.wait() == 1, pcc.log
    assert "status=403" in pcc.log and "certificate is needed" in pcc.log, pcc.log
    assert not pcd.stored("stranger")
    assert pcd.stop() == 0, pcd.log


# Certificates that change


def test_a_new_certificate_is_taken_and_no_connection_dropped():
    pcd = TlsPcd()
    old = der(pcd.files[0])
    certificates = [pcd.authority.issue(f"server-{i}") for i in range(4)]
    with pcd.handshake() as before:
        assert get(before, "/healthz") == (200, False)
        for i, files in enumerate(certificates):
            pcd.show(files)
            if i % 2:  # else it finds out by itself
                pcd.process.send_signal(signal.SIGHUP)
            wait_for("the new one", lambda: pcd.shown() == der(files[0]))
            # The old connection goes on with what it began with.
            assert get(before, "/healthz") == (200, False)
            assert before.getpeercert(True) == old
    assert "certificate_not_loaded" not in pcd.log, pcd.log
    assert pcd.stop() == 0, pcd.log


def test_files_with_an_error_keep_the_old_certificate():
    pcd = TlsPcd()
    old = der(pcd.files[0])
    kept = [open(path).read() for path in pcd.files]
    other = pcd.authority.issue("other")
    rows = (("is no certificate\n", None, "certificate"),
            (None, "is no key\n", "key"),
            (None, open(other[1]).read(), "do not match"),
            (open(other[0]).read(), None, "do not match"),
            ("", None, ""), (None, "x" * (2 << 20), "too large"),
            ("absent", None, "No such file"))
    for n, (certificate, key, reason) in enumerate(rows, 1):
        for path, text in zip(pcd.files, (certificate, key)):
            if text == "absent":
                os.unlink(path)
            elif text is not None:
                with open(path, "w") as f:
                    f.write(text)
        if n % 2:
            pcd.process.send_signal(signal.SIGHUP)
        wait_for("an error", lambda: pcd.log.count("certificate_not_loaded") >= n)
        last = [text for text in pcd.lines if "certificate_not_loaded" in text][-1]
        assert reason in last, (last, reason)
        assert "PRIVATE" not in last
        assert pcd.shown() == old
        for path, text in zip(pcd.files, kept):
            with open(path, "w") as f:
                f.write(text)
        wait_for("it again", lambda: pcd.log.count("certificate_loaded") > n)
    assert pcd.stop() == 0, pcd.log


def test_a_start_with_bad_files_says_what_is_wrong():
    authority = Authority()
    certificate, key = authority.issue("server")
    other = authority.issue("other")
    rows = ({"TLS_CERT": certificate, "TLS_KEY": other[1]}, {"TLS_CERT": key, "TLS_KEY": key},
            {"TLS_CERT": "/nowhere", "TLS_KEY": key},
            {"TLS_CERT": certificate, "TLS_KEY": key, "TLS_CLIENT_CA": key},
            {"TLS_CERT": certificate, "TLS_KEY": key, "TLS_CLIENT_CA": "/nowhere"})
    for options in rows:
        pcd = Pcd(wait=False, **options)
        assert pcd.wait() == 1, pcd.log
        assert any(path in pcd.lines[-1] for path in options.values()), pcd.log
    pcd = Pcd(wait=False, TLS_CLIENT_CA=authority.ca)
    assert pcd.wait() == 2 and "PCD_TLS_CLIENT_CA" in pcd.log, pcd.log


def test_certificates_that_change_under_load():
    # What a handshake may still use must not be freed: for the address sanitizer.
    pcd = TlsPcd()
    certificates = [pcd.authority.issue(f"server-{i}") for i in range(2)]
    ended = threading.Event()
    failures = []

    def connect_again_and_again():
        while not ended.is_set():
            try:
                with pcd.handshake() as s:
                    assert get(s, "/healthz") == (200, False)
            except Exception as why:
                failures.append(why)

    threads = [threading.Thread(target=connect_again_and_again) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(20):
        pcd.show(certificates[i % 2])
        n = pcd.log.count("certificate_loaded")
        pcd.process.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: pcd.log.count("certificate_loaded") > n)
    ended.set()
    for t in threads:
        t.join()
    assert not failures, failures[:3]
    assert pcd.stop() == 0, pcd.log


# Age


def test_an_old_connection_ends_with_its_next_answer():
    pcd = TlsPcd(CONNECTION_AGE="1s")
    with pcd.handshake() as s:
        wait_for("the last answer", lambda: get(s, "/healthz") == (200, True))
        assert s.recv(1) == b""
    # An agent makes a new one and loses nothing.
    collection = os.path.join(folder(), "tap.jsonl")
    pcc = Pcc(pcd, FREQUENCY="20ms", BATCH_SIZE="5", TLS_CA=pcd.authority.ca,
              SUBSYSTEMS="/proc/stat,/proc/meminfo", COLLECTION=collection, DURATION="3s")
    assert pcc.wait() == 0, pcc.log
    assert re.search(r"connections=([2-9]|\d\d)", pcc.log), pcc.log
    assert "WARNING" not in pcc.log, pcc.log
    with open(collection, "rb") as f:
        taken = f.read()
    assert pcd.wait_stored("test-host", taken.count(b"\n")) == taken
    assert pcd.stop() == 0, pcd.log


def can_listen_on(host):
    """Not where there is no IPv6, or no name for it in a bare root's /etc/hosts."""
    try:
        where = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(where[0]) as s:
            s.bind(where[4])
    except OSError:
        return False
    return True


def test_a_server_for_other_hosts_without_tls_warns():
    for host, warns in (("127.0.0.1", False), ("::1", False), ("localhost", False),
                        ("", True), ("0.0.0.0", True)):
        if not can_listen_on(host or "0.0.0.0"):
            continue
        listen = f"[{host}]:0" if ":" in host else f"{host}:0"
        pcd = Pcd(LISTEN=listen, wait=False)
        pcd.wait_line("event=listening")
        assert pcd.post is not None
        assert pcd.stop() == 0, pcd.log
        assert ("event=no_tls" in pcd.log) == warns, (listen, pcd.log)
    authority = Authority()
    certificate, key = authority.issue("server")
    pcd = Pcd(LISTEN=":0", TLS_CERT=certificate, TLS_KEY=key, wait=False)
    pcd.wait_line("event=listening")
    assert pcd.stop() == 0, pcd.log
    assert "event=no_tls" not in pcd.log, pcd.log


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
