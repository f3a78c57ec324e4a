# SPDX-License-Identifier: MIT
"""Throw-away certificates, made by openssl, and a proxy that ends TLS as real ones do."""

import contextlib
import os
import select
import socket
import ssl
import subprocess
import threading

from e2e import folder

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """A certificate authority in a folder of its own; `ca` is its certificate's file."""

    def __init__(self, name="test CA"):
        self.path = folder()
        self.ca = self.file("ca.pem")
        self._openssl("req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.pem",
                      "-days", "2", "-subj", f"/CN={name}")

    def file(self, name):
        return os.path.join(self.path, name)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, cwd=self.path,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def issue(self, name, usage="serverAuth", days=2, key=CURVE, host=None):
        """Makes a certificate for 127.0.0.1, and a host's name where one is given; returns
        (certificate file, key file). With `days` 0 or less it has expired."""
        self._openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
                      "-subj", f"/CN={name}")
        with open(self.file("ext"), "w") as f:
            names = "IP:127.0.0.1" + (f",DNS:{host}" if host else "")
            f.write(f"subjectAltName={names}\nextendedKeyUsage={usage}\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey",
                      "ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", str(days),
                      "-extfile", "ext")
        return self.file(f"{name}.pem"), self.file(f"{name}.key")

    def client(self, certificate=None, version=None):
        """What a client needs that trusts this authority; `version` is the only one that
        it speaks."""
        context = ssl.create_default_context(cafile=self.ca)
        if version:
            context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(*certificate)
        return context


class Proxy:
    """Ends TLS in front of a server that speaks none, and resumes sessions, with tickets
    in TLS 1.3, from OpenSSL's cache in 1.2, for curl offers no tickets there. `resumed`
    has a bool for each handshake."""

    def __init__(self, server, certificate, version=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        self.server = server
        self.resumed = []
        self._break = {}  # by connection, how it is to end
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            plain, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        with contextlib.suppress(OSError), \
                self.context.wrap_socket(plain, server_side=True) as client, \
                socket.create_connection((self.server.host, self.server.port)) as server:
            self._break[client] = None
            self.resumed.append(client.session_reused)
            while self._relay(client, server):
                pass
            del self._break[client]

    def _relay(self, client, server):
        """Passes on what has come. Returns False at the end of the connection."""
        how = self._break[client]
        if how == "close":
            client.settimeout(1)
            client.unwrap()
            return False
        for s in select.select([client, server], [], [], 0.02)[0]:
            data = s.recv(65536)
            while s is client and client.pending():
                data += client.recv(65536)
            if not data:
                client.unwrap()  # else OpenSSL forgets the session
                return False
            if how != "stall":
                (server if s is client else client).sendall(data)
        return True

    def end_all(self, how):
        """Ends all connections: "close" as one should, "stall" by passing nothing on."""
        for client in list(self._break):
            self._break[client] = how
