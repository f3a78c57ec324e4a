# SPDX-License-Identifier: MIT
"""Servers of others that take what hosts measure: how each is started by hand on loopback,
with a folder of its own, and how it is sent what a capture holds.

A store of metrics is sent each number as a sample of its own, with its host and device, as
an agent of its own would; of `intr` in /proc/stat the total alone, which is all that such
agents take. A queue is sent what pcd is, and doesn't look into it."""

import gzip
import json
import os
import re
import socket
import struct
import threading
import urllib.parse

import e2e
from _servers import TICKS

# What is installed, with the units that it would start.
PACKAGES = {
    "influxdb": ("influxdb",), "prometheus": ("prometheus",), "python3-snappy": (),
    "victoria-metrics": ("victoria-metrics",), "nats-server": ("nats-server",),
}
CONNECTIONS = 32
# Stands in a body where a host's name will, which is as long.
NAMELESS = "host-?????"


def host_name(i):
    return f"host-{i:05}"


# What a tick says, as points: a name, its tags, its numbers by their names.

CPU = "user nice system idle iowait irq softirq steal guest guest_nice".split()
SOFTIRQS = "total hi timer net_tx net_rx block irq_poll tasklet sched hrtimer rcu".split()
NET = [f"{way}_{name}" for way, names in
       (("receive", "bytes packets errs drop fifo frame compressed multicast"),
        ("transmit", "bytes packets errs drop fifo colls carrier compressed"))
       for name in names.split()]
DISK = ("reads reads_merged sectors_read ms_reading writes writes_merged sectors_written"
        " ms_writing in_flight ms_io ms_io_weighted discards discards_merged"
        " sectors_discarded ms_discarding flushes ms_flushing").split()


def _stat(text):
    kernel = []
    for name, *values in map(str.split, text.splitlines()):
        if name.startswith("cpu"):
            yield "cpu", (("cpu", name),), list(zip(CPU, map(int, values)))
        elif name == "softirq":
            yield "softirqs", (), list(zip(SOFTIRQS, map(int, values)))
        else:
            kernel.append((name, int(values[0])))
    yield "kernel", (), kernel


def _meminfo(text):
    yield "mem", (), [(re.sub(r"\W", "_", name).rstrip("_"), int(rest.split()[0]))
                      for name, rest in (line.split(":") for line in text.splitlines())]


def _net_dev(text):
    for line in text.splitlines()[2:]:
        name, values = line.rsplit(":", 1)
        yield "net", (("interface", name.strip()),), list(zip(NET, map(int, values.split())))


def _diskstats(text):
    for _, _, name, *values in map(str.split, text.splitlines()):
        yield "diskio", (("name", name),), list(zip(DISK, map(int, values)))


def _statfs(text):
    for said in map(json.loads, text.splitlines()):
        path = said.pop("mount_point")
        yield "disk", (("path", path),), list(said.items())


READERS = {"/proc/stat": _stat, "/proc/meminfo": _meminfo, "/proc/net/dev": _net_dev,
           "/proc/diskstats": _diskstats, "statfs[*]": _statfs}


def ticks_of(path, n, begin):
    """The first n ticks of a collection, one a second from that time on, as lists of
    measurements; over and over, where it has fewer."""
    ticks = {}
    with open(path, encoding="utf-8") as f:
        for m in map(json.loads, f):
            if m["subsystem"] in READERS:
                ticks.setdefault(m["timestamp"], []).append(m)
    found = list(ticks.values())
    return [[{**m, "timestamp": begin + i} for m in found[i % len(found)]] for i in range(n)]


def points(tick):
    return [point for m in tick for point in READERS[m["subsystem"]](m["measurement"])]


# Bodies of a batch, by a form. Each is made for the host NAMELESS.

def _lines(batch):
    lines = []
    for tick in batch:
        for name, tags, fields in points(tick):
            tags = ",".join(f"{k}={v}" for k, v in (*tags, ("host", NAMELESS)))
            values = ",".join(f"{k}={v}i" for k, v in fields)
            lines.append(f"{name},{tags} {values} {tick[0]['timestamp']}\n")
    return "".join(lines).encode()


def _varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes([*out, n])


def _nested(number, content):
    """A member of a protobuf message that has a length."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _remote_write(batch):
    """A WriteRequest: each series once, with its samples of all ticks."""
    series = {}
    for tick in batch:
        when = b"\x10" + _varint(tick[0]["timestamp"] * 1000)
        for name, tags, fields in points(tick):
            for field, value in fields:
                labels = tuple(sorted((("__name__", f"{name}_{field}"), ("host", NAMELESS),
                                       *tags)))
                sample = b"\x09" + struct.pack("<d", value) + when
                series.setdefault(labels, []).append(_nested(2, sample))
    return b"".join(
        _nested(1, b"".join(_nested(1, _nested(1, name.encode()) + _nested(2, value.encode()))
                            for name, value in labels) + b"".join(samples))
        for labels, samples in series.items())


def _json(batch):
    return json.dumps({"identifier": NAMELESS, "measurements": [m for t in batch for m in t]},
                      separators=(",", ":")).encode()


def _snappy(body):
    import snappy  # there only after it is installed
    return snappy.compress(body)


def _gzip(body):
    return gzip.compress(body, 1)  # the level at which pcc sends JSON


FORMS = {"lines": (_lines, bytes), "remote write": (_remote_write, _snappy),
         "JSON": (_json, bytes), "JSON+gzip": (_json, _gzip)}


def bodies(form, batches, hosts):
    """By batch, by host."""
    make, finish = FORMS[form]
    return [[finish(body.replace(NAMELESS.encode(), host_name(i).encode()))
             for i in range(hosts)] for body in map(make, batches)]


# How they are run and sent to.

class Peer(e2e.Program, e2e.Remote):
    """A server of others. Of each kind: the packages that it needs, the form it is sent, what
    its answer promises, as it is documented, and what it still does when it has come to rest.
    send() gives the bytes that it was sent; took() how many ticks it says it holds."""

    def __init__(self):
        self.home, self.host, self.port = e2e.folder(), "127.0.0.1", e2e.free_port()
        self.key, self.tls = "", None
        super().__init__(self.command(), e2e.clean_environment())
        e2e.wait_for(f"{self.argv[0]} to listen", self._listens, 30)
        self.begin()

    def _listens(self):
        assert self.process.poll() is None, self.log
        return self.is_open()

    def begin(self):
        """What is asked of it before it takes anything."""

    def send(self, batches):
        sent, failed = [], []

        def run(i):
            try:
                sent.append(self.send_some((body, host) for batch in batches for host, body in
                                           list(enumerate(batch))[i::CONNECTIONS]))
            except Exception as why:  # told where it is waited for
                failed.append(why)
        threads = [threading.Thread(target=run, args=(i,)) for i in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return sum(sent)


class HttpPeer(Peer):
    """One that is posted to."""
    HEADERS = {}

    def send_some(self, some):
        wire, sent = e2e.Wire(self), 0
        for body, _ in some:
            head = "".join(f"{name}: {value}\r\n" for name, value in
                           {"Host": "localhost", **self.HEADERS,
                            "Content-Length": len(body)}.items())
            request = f"POST {self.PATH} HTTP/1.1\r\n{head}\r\n".encode() + body
            answer = wire.send(request) and wire.answer()
            assert answer, "ended the connection"
            status, _, said = answer
            assert status in (200, 204), (status, said)
            sent += len(request)
        wire.close()
        return sent

    def ask(self, path, **query):
        status, _, body = self.request("GET", path + "?" + urllib.parse.urlencode(query))
        assert status == 200, body
        return json.loads(body)


INFLUX = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{home}/meta"
[data]
  dir = "{home}/data"
  wal-dir = "{home}/wal"
  wal-fsync-delay = "0s"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
"""


class Influx(HttpPeer):
    NAME = "InfluxDB"
    PACKAGES = ("influxdb",)
    FORM = "lines"
    PATH = "/write?db=hosts&precision=s"
    PROMISE = "synced: `wal-fsync-delay` of 0s, the default, \"fsyncs every write to the WAL\""
    LEFT_OUT = "the last 25 MB are written to a file of their own; files are compacted"

    def command(self):
        path = os.path.join(self.home, "conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(INFLUX.format(home=self.home, port=self.port, rpc_port=e2e.free_port()))
        return ["/usr/bin/influxd", "-config", path]

    def begin(self):
        status, _, body = self.request(
            "POST", "/query?" + urllib.parse.urlencode({"q": "CREATE DATABASE hosts"}))
        assert status == 200, body

    def took(self):
        said = self.ask("/query", db="hosts", q='SELECT count("MemTotal") FROM mem')
        return said["results"][0]["series"][0]["values"][0][1]


class RemoteWrite(HttpPeer):
    FORM = "remote write"
    PATH = "/api/v1/write"
    HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
               "X-Prometheus-Remote-Write-Version": "0.1.0"}

    def took(self):
        said = self.ask("/api/v1/query", query="sum(count_over_time(mem_MemTotal[1h]))")
        return int(said["data"]["result"][0]["value"][1])


class Prometheus(RemoteWrite):
    NAME = "Prometheus, remote write"
    PACKAGES = ("prometheus", "python3-snappy")
    PROMISE = ("written to the WAL, which is synced when a segment of 128 MB is full or closed"
               " (prometheus/prometheus#5869)")
    LEFT_OUT = "a block is made of two hours; blocks are compacted"

    def command(self):
        path = os.path.join(self.home, "conf")
        with open(path, "w", encoding="ascii") as f:
            f.write("global: {}\n")
        return ["/usr/bin/prometheus", f"--config.file={path}",
                "--web.enable-remote-write-receiver", f"--storage.tsdb.path={self.home}/data",
                f"--web.listen-address=127.0.0.1:{self.port}"]

    def begin(self):
        e2e.wait_for("Prometheus to be ready",
                     lambda: self.request("GET", "/-/ready")[0] == 200, 30)


class VictoriaMetrics(RemoteWrite):
    NAME = "VictoriaMetrics, remote write"
    PACKAGES = ("victoria-metrics", "python3-snappy")
    PROMISE = ("in memory: \"buffers incoming data in memory for up to a few seconds before"
               " flushing it to persistent storage\" (its README)")
    LEFT_OUT = "parts are merged into greater ones"

    def command(self):
        return ["/usr/bin/victoria-metrics", f"-storageDataPath={self.home}/data",
                f"-httpListenAddr=127.0.0.1:{self.port}"]


class NatsConnection:
    """As much of a client of NATS as publishing to a stream needs."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"INFO ")
        self.inbox = f"_INBOX.{self.socket.getsockname()[1]}"
        self.socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n'
                            + f"SUB {self.inbox} 1\r\n".encode())

    def ask(self, subject, body):
        """Sends a message; returns its bytes and what is answered."""
        message = f"PUB {subject} {self.inbox} {len(body)}\r\n".encode() + body + b"\r\n"
        self.socket.sendall(message)
        while True:
            line = self.file.readline()
            assert line, "ended the connection"
            word, *rest = line.split()
            if word == b"MSG":
                said = json.loads(self.file.read(int(rest[-1]) + 2))
                assert "error" not in said, said
                return len(message), said
            assert word in (b"PING", b"+OK"), (word, rest)
            if word == b"PING":
                self.socket.sendall(b"PONG\r\n")

    def close(self):
        self.file.close()
        self.socket.close()


class Nats(Peer):
    NAME = "NATS JetStream, JSON"
    PACKAGES = ("nats-server",)
    FORM = "JSON"
    PROMISE = ("written, synced by a timer: \"in a non-replicated setup, an OS failure may result"
               " in data loss\" (its documentation)")
    LEFT_OUT = "its files are synced"

    def command(self):
        path = os.path.join(self.home, "conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(f'jetstream {{ store_dir: "{self.home}/data" }}\n')
        return ["/usr/sbin/nats-server", "-c", path, "-a", self.host, "-p", str(self.port)]

    def begin(self):
        connection = NatsConnection(self.port)
        connection.ask("$JS.API.STREAM.CREATE.hosts", json.dumps(
            {"name": "hosts", "subjects": ["hosts.>"], "storage": "file", "num_replicas": 1,
             "retention": "limits", "discard": "old", "max_msgs": -1, "max_bytes": -1,
             "max_age": 0, "max_consumers": -1}).encode())
        connection.close()

    def send_some(self, some):
        connection = NatsConnection(self.port)
        sent = sum(connection.ask(f"hosts.{host_name(host)}", body)[0] for body, host in some)
        connection.close()
        return sent

    def took(self):
        connection = NatsConnection(self.port)
        _, said = connection.ask("$JS.API.STREAM.INFO.hosts", b"")
        connection.close()
        return said["state"]["messages"] * TICKS


class NatsGzip(Nats):
    NAME = "NATS JetStream, JSON+gzip"
    FORM = "JSON+gzip"


PEERS = (Influx, Prometheus, VictoriaMetrics, Nats, NatsGzip)
