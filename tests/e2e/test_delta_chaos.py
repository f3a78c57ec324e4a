#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Three agents send deltas of sources that change under them, while pcd is killed and
started anew, has room for the states of only some of them, and every twentieth batch is
answered 503 on its way. What is stored at the end is what each agent took, byte for byte,
each batch once.
"""

import http.client
import json
import os
import random
import socket
import sys
import threading
import time

from e2e import KEY, PATIENCE, Pcc, Pcd, folder, free_port, run, wait_for

HOSTS = 3
TICKS = 2000
KILLS = 4
REFUSED = 20  # one batch in so many
STATE_MAX = "5KiB"
SUBSYSTEMS = "/proc/stat,/proc/meminfo,/proc/net/dev,/proc/diskstats"


class Root(threading.Thread):
    """A folder that stands for / of a host on which things go on."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.path = folder()
        self.ended = threading.Event()
        self.counters = {}
        os.makedirs(os.path.join(self.path, "proc", "net"))
        self.files = {name: open(os.path.join(self.path, "proc", name), "w+b", buffering=0)
                      for name in ("stat", "meminfo", "net/dev", "diskstats")}
        self.write()

    def count(self, name, most):
        """A counter that grows, and now and then starts again."""
        value = self.counters.get(name, 0) + self.random.randrange(most)
        self.counters[name] = 0 if self.random.random() < 0.0005 else value
        return value

    def stat(self):
        user, idle = self.count("user", 5), self.count("idle", 20)
        text = f"cpu  {user} 0 {idle}\ncpu0 {user} 0 {idle}\nintr {self.count('intr', 900)}"
        text += " 0" * 60 + f" {self.count('irq', 90)}\nctxt {self.count('ctxt', 5000)}\n"
        if self.random.random() < 0.01:
            text += f"softirq {self.random.randrange(10)}\n"
        return text

    def meminfo(self):
        free = 8000000 + self.random.randrange(-5000, 5000)
        return f"MemTotal:       16303428 kB\nMemFree:        {free:8} kB\nDirty: {free % 77:17} kB\n"

    def net(self):
        rows = [f"{name:>6}: {self.count(name, 9000):7} {self.count(name + 'p', 9):7}    0\n"
                for name in ("lo", "eth0")]
        if self.random.random() < 0.02:
            rows.append(f"veth{self.random.randrange(16):x}: 0 0 0\n")
        return "Inter-|   Receive\n" + "".join(rows)

    def disk(self):
        return "".join(f" 254 {i:7} vda{i or ''} {self.count(f'vda{i}', 40)} 0 {i}\n"
                       for i in range(3))

    def write(self):
        texts = {"stat": self.stat(), "meminfo": self.meminfo(), "net/dev": self.net(),
                 "diskstats": self.disk()}
        for name, text in texts.items():
            data = text.encode()
            os.pwrite(self.files[name].fileno(), data, 0)
            os.ftruncate(self.files[name].fileno(), len(data))

    def run(self):
        while not self.ended.wait(0.004):
            self.write()


class Relay:
    """Passes requests on to pcd; some batches it answers itself. When pcd is away it hangs
    up, as a relay would whose server is gone."""

    def __init__(self, port):
        self.to = port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.random = random.Random(5)
        self.batches = self.refused = self.conflicts = self.deltas = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        server = http.client.HTTPConnection("127.0.0.1", self.to, timeout=60 * PATIENCE)
        with s, s.makefile("rb") as stream:
            try:
                while self.one(s, stream, server):
                    pass
            except (OSError, http.client.HTTPException):
                pass
        server.close()

    def one(self, s, stream, server):
        first = stream.readline().split()
        if len(first) < 3:
            return False
        headers = http.client.parse_headers(stream)
        body = stream.read(int(headers["Content-Length"]))
        path = first[1].decode()
        if path == "/v1/trickle":
            self.batches += 1
            self.deltas += "delta" in headers["Content-Type"]
            if self.random.randrange(REFUSED) == 0:
                self.refused += 1
                s.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
                return True
        server.request(first[0].decode(), path, body,
                       {k: v for k, v in headers.items() if k not in ("Host", "Content-Length")})
        answer = server.getresponse()
        data = answer.read()
        self.conflicts += answer.status == 409
        head = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        head += [f"{k}: {v}" for k, v in answer.headers.items() if k != "Connection"]
        s.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + data)
        return True


class Server:
    """A pcd that is killed and started again, at one port, with one home."""

    def __init__(self):
        self.home = folder()
        self.port = free_port()
        self.seen = {}
        self.start()

    def start(self):
        self.pcd = Pcd(home=self.home, port=self.port, DELTA_STATE_MAX=STATE_MAX)

    def look(self):
        """Adds up the counters of the pcds, which begin at 0 each time."""
        for name, value in self.pcd.metrics().items():
            if name.startswith("pcd_delta_") and name.endswith("_total"):
                self.seen[name] = self.seen.get(name, 0) + value

    def kill(self):
        self.look()
        self.pcd.kill()
        time.sleep(0.3)
        self.start()


def test_what_agents_took_is_stored_once_whatever_happens():
    server = Server()
    relay = Relay(server.port)
    roots = [Root(i) for i in range(HOSTS)]
    for root in roots:
        root.start()
    agents = [Pcc(relay.url, IDENTIFIER=f"host-{i}", FREQUENCY="10ms",
                  DURATION=f"{TICKS * 10}ms", ROOT=root.path,
                  SUBSYSTEMS=SUBSYSTEMS, QUEUE_MAX="64MiB", TIMEOUT="60s",
                  COLLECTION=os.path.join(root.path, "taken.json"))
              for i, root in enumerate(roots)]
    for _ in range(KILLS):
        time.sleep(TICKS / 100 / (KILLS + 1))
        server.kill()
    for agent in agents:
        assert agent.wait(90) == 0, agent.log
    for root in roots:
        root.ended.set()

    for i, agent in enumerate(agents):
        with open(agent.options["COLLECTION"], "rb") as f:
            taken = f.read()
        n = taken.count(b"\n")
        stored = server.pcd.wait_stored(f"host-{i}", n, 30)
        assert stored == taken, (i, len(stored), len(taken))
        ticks = {(m["timestamp"], m.get("nanoseconds")) for m in map(json.loads, taken.splitlines())}
        assert len(ticks) > TICKS / 2, len(ticks)
    server.look()
    # It all happened.
    assert relay.refused > 3, relay.refused
    assert relay.conflicts > KILLS, relay.conflicts
    assert relay.deltas == relay.batches, (relay.deltas, relay.batches)
    assert server.seen["pcd_delta_states_not_kept_total"] > 0, server.seen
    assert server.pcd.stop() == 0


if __name__ == "__main__":
    run(sys.modules[__name__])
