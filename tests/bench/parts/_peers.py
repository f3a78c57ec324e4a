# SPDX-License-Identifier: MIT
"""Programs of others that measure a host each second: how each is installed, without its
daemon being started, how it is run with a folder of its own, and where it sends to.

What is compared are the same sources: processors, memory, network, disks, filesystems."""

import http.server
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import zlib

import e2e
import prepare
import relay as relays

# What is installed, with the units that it would start. (libyajl2: collectd's HTTP plugin wants
# it, its package only suggests it.)
PACKAGES = {
    "collectd-core": ("collectd",), "libyajl2": (), "sysstat": ("sysstat",),
    "prometheus-node-exporter": ("prometheus-node-exporter",), "prometheus": ("prometheus",),
    "victoria-metrics": ("victoria-metrics",), "pcp": ("pmcd", "pmlogger", "pmie", "pmproxy"),
    "netdata-core": ("netdata",), "zabbix-agent2": ("zabbix-agent2",),
}
POLICY = "/usr/sbin/policy-rc.d"


def missing(packages):
    """Those that would be installed, of packages and their units, as in PACKAGES."""
    return [name for name in packages if subprocess.run(
        ["dpkg-query", "-W", "-f=${db:Status-Status}", name], capture_output=True, text=True,
        check=False).stdout != "installed"]


def install(packages):
    """Installs those that are missing, and says so first, so that no daemon starts, now or at
    the next boot. A package that can't be had is left out: its peer is missing then."""
    names = missing(packages)
    if not names:
        return
    print("installs, without starting anything: " + " ".join(names), flush=True)
    stubs = e2e.folder()
    for name in ("systemctl", "systemd-tmpfiles"):  # what maintainer scripts start with
        path = os.path.join(stubs, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o755), "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 0\n")
    made = not os.path.exists(POLICY)
    if made:
        with open(os.open(POLICY, os.O_WRONLY | os.O_CREAT, 0o755), "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 101\n")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive",
           "PATH": stubs + ":" + os.environ["PATH"]}
    try:
        subprocess.run(["apt-get", "-q", "update"], env=env, capture_output=True, check=False)
        for name in names:
            done = subprocess.run(["apt-get", "-q", "install", "-y", "--no-install-recommends",
                                   name], env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name} could not be installed: {done.stderr.strip()[-300:]}")
    finally:
        if made:
            os.unlink(POLICY)
    if shutil.which("systemctl"):
        for unit in (unit for name in names for unit in packages[name]):
            subprocess.run(["systemctl", "--quiet", "disable", unit], capture_output=True,
                           check=False)


def version(package):
    return prepare.first_line(["dpkg-query", "-W", "-f=${Version}", package])


# Where they send to.

class _Accepts(http.server.BaseHTTPRequestHandler):
    """Takes whatever it is sent."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # noqa: N802
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while (size := int(self.rfile.readline(), 16)) > 0:
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class HttpSink:
    """A server that takes posts; carried() are the bytes both ways."""

    def __init__(self, network):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Accepts)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.relay = network.relay(self.server.server_address[1])
        self.url = self.relay.url

    def carried(self):
        return sum(self.relay.carried)


class DatagramSink:
    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.bytes = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            self.bytes += len(self.socket.recv(65536))

    def carried(self):
        return self.bytes


ZABBIX_ITEMS = (
    "system.cpu.util[,user]", "system.cpu.util[,system]", "system.cpu.util[,idle]",
    "system.cpu.util[,iowait]", "system.cpu.load", "system.cpu.intr", "system.cpu.switches",
    "vm.memory.size[total]", "vm.memory.size[available]", "vm.memory.size[cached]",
    "net.if.in[lo]", "net.if.out[lo]", "vfs.fs.size[/,used]", "vfs.fs.size[/,free]",
    "vfs.fs.inode[/,used]", "vfs.dev.read[,operations]", "vfs.dev.write[,operations]",
)


ZABBIX_COMPRESSED = 2  # of a message's flags


class ZabbixSink:
    """As much of a Zabbix server as active checks need."""

    def __init__(self, network):
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._run, daemon=True).start()
        self.relay = network.relay(self.listener.getsockname()[1])
        self.values = 0

    def carried(self):
        return sum(self.relay.carried)

    def _run(self):
        while True:
            peer, _ = self.listener.accept()
            with peer:
                try:
                    self._answer(peer)
                except (OSError, ValueError, struct.error):
                    pass

    def _answer(self, peer):
        with peer.makefile("rb") as f:
            _, flags, size, _ = struct.unpack("<4sBII", f.read(13))
            text = f.read(size)
        asked = json.loads(zlib.decompress(text) if flags & ZABBIX_COMPRESSED else text)
        answer = {"response": "success"}
        if asked["request"] == "active checks":
            answer["data"] = [{"key": key, "itemid": i, "delay": "1s", "lastlogsize": 0,
                               "mtime": 0} for i, key in enumerate(ZABBIX_ITEMS, 1)]
        else:
            n = len(asked.get("data", []))
            self.values += n
            answer["info"] = f"processed: {n}; failed: 0; total: {n}; seconds spent: 0.0001"
        body = json.dumps(answer).encode()
        peer.sendall(struct.pack("<4sBII", b"ZBXD", 1, len(body), 0) + body)


# How they are run. Each gives its programs and its sink, or None where it has none.

def _put(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def _start(*argv, **environment):
    return e2e.Program(list(argv), {**e2e.clean_environment(), **environment})


COLLECTD = """
BaseDir "{home}"
PIDFile "{home}/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin cpu
LoadPlugin memory
LoadPlugin interface
LoadPlugin disk
LoadPlugin df
{send}
"""


def _collectd(send):
    home = e2e.folder()
    return _start("/usr/sbin/collectd", "-f", "-C",
                  _put(home, "conf", COLLECTD.format(home=home, send=send)))


def collectd_network(_network):
    sink = DatagramSink()
    return [_collectd(f'LoadPlugin network\n<Plugin network>\n  Server "127.0.0.1"'
                      f' "{sink.port}"\n</Plugin>')], sink


def collectd_http(network):
    sink = HttpSink(network)
    return [_collectd('LoadPlugin write_http\n<Plugin write_http>\n <Node "n">\n'
                      f'  URL "{sink.url}"\n  Format "JSON"\n </Node>\n</Plugin>')], sink


def sadc(_network):
    return [_start("/usr/lib/sysstat/sadc", "-S", "DISK", "1",
                   os.path.join(e2e.folder(), "sa"))], None


def _node_exporter(port):
    wanted = [f"--collector.{name}" for name in
              ("cpu", "stat", "meminfo", "netdev", "diskstats", "filesystem")]
    return _start("/usr/bin/prometheus-node-exporter", "--collector.disable-defaults", *wanted,
                  "--web.disable-exporter-metrics", f"--web.listen-address=127.0.0.1:{port}")


SCRAPE = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


def vmagent(network):
    sink, port, home = HttpSink(network), e2e.free_port(), e2e.folder()
    conf = _put(home, "scrape.yml", SCRAPE.format(port=port))
    return [_start("/usr/bin/vmagent", f"-promscrape.config={conf}",
                   f"-remoteWrite.url={sink.url}/api/v1/write",
                   f"-remoteWrite.tmpDataPath={home}/data",
                   f"-httpListenAddr=127.0.0.1:{e2e.free_port()}"), _node_exporter(port)], sink


def prometheus_agent(network):
    sink, port, home = HttpSink(network), e2e.free_port(), e2e.folder()
    conf = _put(home, "prometheus.yml", SCRAPE.format(port=port)
                + f"remote_write:\n  - url: {sink.url}/api/v1/write\n")
    return [_start("/usr/bin/prometheus", "--enable-feature=agent", f"--config.file={conf}",
                   f"--storage.agent.path={home}/data",
                   f"--web.listen-address=127.0.0.1:{e2e.free_port()}"),
            _node_exporter(port)], sink


PCP_LOGGED = """
log mandatory on 1 sec {
    kernel.percpu.cpu kernel.all.cpu kernel.all.intr kernel.all.pswitch
    mem.util network.interface.in network.interface.out disk.dev filesys
}
"""
PMCD = """
linux 60 dso linux_init /var/lib/pcp/pmdas/linux/pmda_linux.so
pmcd 2 dso pmcd_init /var/lib/pcp/pmdas/pmcd/pmda_pmcd.so
"""
PCP_FOLDERS = ("RUN", "LOG", "ARCHIVE", "TMP", "TMPFILE")


def pcp(_network):
    home, port = e2e.folder(), e2e.free_port()
    os.chmod(home, 0o755)
    env = {f"PCP_{name}_DIR": os.path.join(home, name.lower()) for name in PCP_FOLDERS}
    for path in env.values():
        os.mkdir(path)
        os.chmod(path, 0o777)
    env["PCP_DERIVED_CONFIG"] = ""  # it logs what it can't fetch of those, each second
    env["PMCD_SOCKET"] = os.path.join(home, "socket")
    names = os.path.join(home, "names")  # its start script would have made them for all
    subprocess.run(["/usr/lib/pcp/bin/pmnsmerge", "-f", "/var/lib/pcp/pmns/root_linux",
                    "/var/lib/pcp/pmns/root_pmcd", names], check=True, capture_output=True)
    conf = _put(home, "pmcd.conf", PMCD)
    pmcd = _start("/usr/lib/pcp/bin/pmcd", "-f", "-U", "root", "-A", "-c", conf, "-n", names,
                  "-l", os.path.join(home, "pmcd.log"), "-i", "127.0.0.1", "-p", str(port),
                  "-s", env["PMCD_SOCKET"], **env)
    e2e.wait_for("pmcd", lambda: _listens(port), 15)
    logger = _start("/usr/lib/pcp/bin/pmlogger", "-h", f"127.0.0.1:{port}", "-c",
                    _put(home, "pmlogger.conf", PCP_LOGGED), "-U", "root", "-t", "1", "-l",
                    os.path.join(home, "pmlogger.log"), os.path.join(home, "archive"), **env)
    return [pmcd, logger], None


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def _port_below(limit):
    for port in range(limit - 1, 1024, -1):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise OSError("no port is free")


NETDATA = """
[global]
    run as user = root
[directories]
    config = {home}
    log = {home}
    cache = {home}/cache
    lib = {home}/lib
    home = {home}
    lock = {home}/lock
[db]
    mode = ram
    update every = 1
[web]
    bind to = 127.0.0.1:{port}
[health]
    enabled = no
[ml]
    enabled = no
[statsd]
    enabled = no
[plugins]
    proc = yes
    diskspace = yes
    cgroups = no
    tc = no
    idlejitter = no
    checks = no
    apps = no
    python.d = no
    charts.d = no
    go.d = no
    perf = no
    ebpf = no
    slabinfo = no
    timex = no
    statsd = no
    profile = no
    debugfs = no
    netdata monitoring = no
    enable running new plugins = no
[plugin:proc]
    /proc/net/snmp = no
    /proc/net/snmp6 = no
    /proc/net/netstat = no
    /proc/net/sockstat = no
    /proc/net/sockstat6 = no
    /proc/net/softnet_stat = no
    /proc/softirqs = no
    /proc/interrupts = no
    /proc/vmstat = no
    /proc/loadavg = no
    /proc/pressure = no
    ipc = no
"""


def netdata(_network):
    home = e2e.folder()
    for name in ("cache", "lib", "lock"):
        os.mkdir(os.path.join(home, name))
    conf = _put(home, "netdata.conf", NETDATA.format(home=home, port=e2e.free_port()))
    return [_start("/usr/sbin/netdata", "-D", "-c", conf, "-P", os.path.join(home, "pid"))], None


def zabbix_agent2(network):
    sink, home = ZabbixSink(network), e2e.folder()
    address = sink.relay.url.removeprefix("http://")
    conf = _put(home, "conf", f"""
LogType=console
Server=127.0.0.1
ServerActive={address}
ListenIP=127.0.0.1
ListenPort={_port_below(32768)}
Hostname=test-host
ControlSocket={home}/control
PluginSocket={home}/plugins
PidFile={home}/pid
BufferSend=5
""")
    return [_start("/usr/sbin/zabbix_agent2", "-f", "-c", conf)], sink


# Its name, how it is run, its packages.
PEERS = (
    ("sadc to a file", sadc, ("sysstat",)),
    ("collectd, network plugin", collectd_network, ("collectd-core",)),
    ("collectd, HTTP plugin, JSON", collectd_http, ("collectd-core",)),
    ("pmcd + pmlogger to a file", pcp, ("pcp",)),
    ("netdata, in memory", netdata, ("netdata-core",)),
    ("zabbix_agent2, active checks", zabbix_agent2, ("zabbix-agent2",)),
    ("vmagent + node_exporter", vmagent, ("victoria-metrics", "prometheus-node-exporter")),
    ("prometheus agent + node_exporter", prometheus_agent,
     ("prometheus", "prometheus-node-exporter")),
)


def network():
    return relays.Network()
