# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: the two real binaries as child processes, temporary
homes, and results as TAP.

Every process started here is ended here, by pid. Traffic goes to loopback only.
"""

import atexit
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("PC_BUILD") or os.path.join(SOURCE, "build"))
PCC = os.path.join(BUILD, "pcc", "pcc")
PCD = os.path.join(BUILD, "pcd", "pcd")
LOAD = os.path.join(BUILD, "tests", "bench", "load")
KEY = "e2e-key-0123456789abcdef"

# Sanitizer builds are several times slower: waits are multiplied, never asserted.
PATIENCE = float(os.environ.get("PC_PATIENCE", "1"))

_children = []
_folders = []


class Skip(Exception):
    """Raised by a test that can't run here; its text says why."""


def captures():
    """The folder of recorded measurements that some tests replay: PC_CAPTURES, else the
    one that captures-folder names, which is the one place that knows."""
    with open(os.path.join(SOURCE, "tests", "lib", "captures-folder")) as f:
        path = os.environ.get("PC_CAPTURES") or os.path.join(SOURCE, f.read().strip())
    if not os.path.isdir(path):
        raise Skip("no captures: set PC_CAPTURES to a folder of collections")
    return path


def folder():
    """A new temporary folder, removed at the end."""
    path = tempfile.mkdtemp(prefix="pc-e2e-")
    _folders.append(path)
    return path


@atexit.register
def _clean_up():
    for child in _children:
        if child.poll() is None:
            child.kill()
            child.wait()
    for path in _folders:
        shutil.rmtree(path, ignore_errors=True)


def clean_environment(**variables):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("PCC_", "PCD_")) and k.lower() not in
           ("http_proxy", "https_proxy", "all_proxy", "no_proxy")}
    env.update({k: str(v) for k, v in variables.items()})
    return env


def content(path):
    """The bytes of a file so far; none where it isn't there (any more)."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def wait_for(what, condition, seconds=10):
    """Waits until condition() gives something true and returns it."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds * PATIENCE:g} s in vain for {what}")


class Program:
    """A child process whose stderr is kept, line by line."""

    def __init__(self, argv, env):
        self.argv = argv
        self.lines = []
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _children.append(self.process)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))

    @property
    def log(self):
        return "\n".join(self.lines)

    def wait_line(self, pattern, seconds=10):
        """Waits for a line that matches, returns the match."""
        def look():
            if self.process.poll() is not None:
                self._reader.join(5)
            for line in list(self.lines):
                found = re.search(pattern, line)
                if found:
                    return found
            if self.process.poll() is not None:
                raise AssertionError(f"{self.argv[0]} ended with {self.process.returncode}"
                                     f" before saying {pattern!r}:\n{self.log}")
            return None
        return wait_for(f"{pattern!r} in the log", look, seconds)

    def wait(self, seconds=30):
        """Waits for the end, returns the exit status."""
        try:
            status = self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv[0]} did not end; its log:\n{self.log}")
        self._reader.join(5)
        self._no_sanitizer_reports()
        return status

    def _no_sanitizer_reports(self):
        # A sanitizer that found something says so, whatever the exit status.
        for word in ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer",
                     "WARNING: ThreadSanitizer"):
            assert word not in self.log, self.log

    def stop(self, number=signal.SIGTERM, seconds=30):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(seconds)

    def kill(self):
        """Ends it the hard way; it must not have ended by itself."""
        assert self.process.poll() is None, self.log
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        self._no_sanitizer_reports()


class Remote:
    """A pcd, whoever runs it."""

    def __init__(self, host, port, key=KEY):
        self.host, self.port, self.key = host, port, key
        self.url = f"http://{host}:{port}"
        self.tls = None  # an ssl.SSLContext, where clients are to speak TLS

    def is_open(self):
        """Does it take connections?"""
        try:
            socket.create_connection((self.host, self.port), 1).close()
            return True
        except OSError:
            return False

    def connect(self, timeout=30):
        timeout *= PATIENCE
        if self.tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout,
                                               context=self.tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, connection=None):
        """One request; returns (status, headers, body). headers: the key is added unless
        the dict names apikey itself (None leaves it out)."""
        headers = dict(headers or {})
        headers.setdefault("apikey", self.key)
        headers = {k: v for k, v in headers.items() if v is not None}
        c = connection or self.connect()
        try:
            c.request(method, path, body, headers)
            answer = c.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            if not connection:
                c.close()

    def post(self, batch, headers=None, connection=None):
        """Posts a batch (identifier and measurements) as JSON."""
        body = batch if isinstance(batch, bytes) else json.dumps(batch).encode()
        return self.request("POST", "/v1/trickle", body,
                            {"Content-Type": "application/json", **(headers or {})},
                            connection)

    def metrics(self):
        """The counters by their full names, labels included."""
        status, _, body = self.request("GET", "/metrics")
        assert status == 200, status
        values = {}
        for line in body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values


class Pcd(Program, Remote):
    """A pcd on a free port of loopback, with a home of its own that outlives it. under: a
    command and its arguments that end by running it; environment: more of its own."""

    def __init__(self, home=None, key=KEY, port=0, wait=True, under=(),
                 environment=None, **options):
        self.home = home or folder()
        self.key = key
        self.data = os.path.join(self.home, "data")
        self.tls = None  # an ssl.SSLContext, where clients are to speak TLS
        path = os.path.join(self.home, "apikeys")
        if key and not os.path.exists(path):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(key + "\n")
        options = {"LISTEN": f"127.0.0.1:{port}", "HOME": self.home,
                   "DISK_RESERVE": "1MiB", **options}
        env = clean_environment(**{"PCD_" + k: v for k, v in options.items()},
                                **(environment or {}))
        super().__init__([*under, PCD], env)
        if wait:
            address = self.wait_line(r"event=listening .*address=\"?([0-9.]+):(\d+)", 30)
            self.host, self.port = address.group(1), int(address.group(2))
            self.url = f"http://{self.host}:{self.port}"

    def stored(self, identifier):
        """The bytes of all day files of a host, in the order of days."""
        base = os.path.join(self.data, identifier)
        if not os.path.isdir(base):
            return b""
        parts = []
        for name in sorted(os.listdir(base)):
            with open(os.path.join(base, name), "rb") as f:
                parts.append(f.read())
        return b"".join(parts)

    def wait_stored(self, identifier, n_lines, seconds=10):
        """Waits until that many lines are filed (a moment after the answer)."""
        wait_for(f"{n_lines} lines of {identifier}",
                 lambda: self.stored(identifier).count(b"\n") >= n_lines, seconds)
        return self.stored(identifier)


class Wire:
    """A connection to a pcd on which a test sends whatever bytes it likes."""

    def __init__(self, pcd, seconds=30):
        self.socket = socket.create_connection((pcd.host, pcd.port), seconds * PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if pcd.tls:
            self.socket = pcd.tls.wrap_socket(self.socket, server_hostname=pcd.host)
        self._file = self.socket.makefile("rb")

    def send(self, data):
        """Sends; False if the server has closed its side."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def answer(self):
        """The next final answer as (status, headers, body); None if the connection ends
        without one."""
        try:
            while True:
                first = self._file.readline()
                if not first:
                    return None
                headers = http.client.parse_headers(self._file)
                if first.split()[1] != b"100":
                    break
            body = self._file.read(int(headers.get("Content-Length", 0)))
            return int(first.split()[1]), headers, body
        except ConnectionResetError:
            return None

    def ends(self):
        """Waits until the server closes; True if it had nothing more to say."""
        try:
            return self._file.read() == b""
        except ConnectionResetError:
            return True

    def close(self):
        self._file.close()
        self.socket.close()


class Pcc(Program):
    """A pcc that trickles to a pcd, or works in local mode where there is none. It has no
    spool unless the test names a folder for one (SPOOL_DIR). under and environment as for
    Pcd; program: another pcc than that of the build."""

    def __init__(self, pcd=None, key=KEY, under=(), environment=None, program=PCC, **options):
        defaults = {"FREQUENCY": "1s", "DURATION": "0", "COLLECTION": "",
                    "STATUS_SOCKET": "off"}
        if pcd:
            defaults.update(MODE="trickle", SERVER_URL=getattr(pcd, "url", pcd),
                            APIKEY=key, IDENTIFIER="test-host")
        else:
            defaults.update(MODE="local", COLLECTION=os.path.join(folder(), "pcc.json"))
        if "SPOOL_DIR" not in options:
            defaults.update(SPOOL="never")
        defaults.update(options)
        self.options = {k: v for k, v in defaults.items() if v is not None}
        env = clean_environment(**{"PCC_" + k: v for k, v in self.options.items()},
                                **(environment or {}))
        super().__init__([*under, program], env)

    def taken(self):
        """The measurements in its collection; a line that isn't whole yet is left out."""
        path = self.options["COLLECTION"]
        if not os.path.exists(path):
            return []
        with open(path, "rb") as f:
            return [json.loads(text) for text in f.read().split(b"\n")[:-1]]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def measurements(n, start=1767813011, text="cpu  1 2 3\n", subsystem="/proc/stat"):
    return [{"timestamp": start + i, "subsystem": subsystem, "measurement": text}
            for i in range(n)]


def keyed(session, seq, floor=None):
    """Headers of a batch that is stored once and only once."""
    headers = {"Idempotency-Key": f"{session:016x}-{seq}"}
    if floor is not None:
        headers["Idempotency-Floor"] = str(floor)
    return headers


def line(m):
    """A measurement as pcd stores it."""
    return json.dumps(m, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def lines(batch):
    return b"".join(line(m) for m in batch["measurements"])


def run(module):
    """Runs every function of a module whose name begins with test_, in order, and
    prints TAP. With arguments, only those named."""
    names = [n for n in vars(module) if n.startswith("test_")]
    if len(sys.argv) > 1:
        names = [n for n in names if n in sys.argv[1:]]
    failed = False
    print(f"1..{len(names)}", flush=True)
    for number, name in enumerate(names, 1):
        title = name.removeprefix("test_").replace("_", " ")
        try:
            getattr(module, name)()
            print(f"ok {number} - {title}", flush=True)
        except Skip as why:
            print(f"ok {number} - {title} # SKIP {why}", flush=True)
        except Exception:
            failed = True
            print(f"not ok {number} - {title}", flush=True)
            for text in traceback.format_exc().splitlines():
                print("# " + text, flush=True)
    sys.exit(1 if failed else 0)
