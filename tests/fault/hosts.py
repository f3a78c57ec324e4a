# SPDX-License-Identifier: MIT
"""Those who take part in the crash test: agents, each with its tap, and the server. Each
may be killed, ended, paused and started again, whatever became of it before."""

import json
import math
import os
import random
import re
import signal
import socket
import time
from collections import Counter
from datetime import datetime

import faults
from e2e import PATIENCE, Pcc, Pcd, wait_for

# Two small sources that say something else at each tick, so that no line is there twice by
# itself: two ticks of a process that was late may have one timestamp.
SOURCES = "/proc/sys/kernel/random/uuid,/proc/./sys/kernel/random/uuid"
BATCH = 40
INTERVAL_S = 0.01
AGENT = {
    "FREQUENCY": "10ms",
    "SUBSYSTEMS": SOURCES,
    "BATCH_SIZE": BATCH,
    "CATCHUP_SHARE": "1",
    # What doesn't come is soon not waited for any more.
    "TIMEOUT": f"{2 * PATIENCE:g}s",
    "CONNECT_TIMEOUT": f"{1 * PATIENCE:g}s",
}
# The log rolls and checkpoints come often.
SERVER = {"LOG_MAX": "64MiB", "CHECKPOINT_INTERVAL": "1s"}


def time_of(text):
    """Seconds since 1970, of a log line's time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Unexpected(Exception):
    """Something ended that was not to end, or with a status that it should not have."""


def quiet_port():
    """A free port that no connection is given by itself, so that it is free again and
    again."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Member:
    """A program that comes and goes."""

    def __init__(self, name, place):
        self.name = name
        self.path = os.path.join(place, name)
        self.program = None
        self.ending = False
        self.logs = []

    def _alive(self):
        return self.program is not None and not self.ending

    def _over(self):
        self.logs.append(self.program.log)
        self.program, self.ending = None, False

    def launch(self):
        """Return: a Program."""
        raise NotImplementedError

    def check_end(self, status):
        """Raises Unexpected where it should not have ended so."""
        # It may be asked before it can listen.
        if status != 0 and (status != -signal.SIGTERM or self.program.lines):
            raise Unexpected(f"{self.name} ended with {status}:\n{self.program.log}")

    def start(self):
        """Starts it where it isn't running, once the one before has come to its end."""
        if self.ending:
            self.end()
        if self.program is None:
            self.program = self.launch()

    def kill(self):
        """Return: was it there to be killed?"""
        if not self._alive():
            return False
        self.program.kill()
        self._over()
        return True

    def ask_to_end(self):
        if not self._alive():
            return False
        self.program.process.send_signal(signal.SIGCONT)
        self.program.process.send_signal(signal.SIGTERM)
        self.ending = True
        return True

    def end(self):
        if self.program is None:
            return
        self.ask_to_end()
        self.check_end(self.program.wait(60))
        self._over()

    def pause(self):
        if not self._alive():
            return False
        self.program.process.send_signal(signal.SIGSTOP)
        return True

    def go_on(self):
        # One that was asked to end goes on since then. It is let be: the leak check at its
        # end stops its threads, and waits for ever where a SIGCONT takes that stop away.
        if self._alive():
            self.program.process.send_signal(signal.SIGCONT)

    def abandon(self):
        """At the end of all: leaves nothing that runs, and writes down what was said."""
        if self.program is not None:
            self.program.process.kill()
            self.program.process.wait()
            self._over()
        with open(self.path + ".log", "w") as f:
            f.write("\n--- next\n".join(self.logs))


class Agent(Member):
    """A pcc with a spool and an identifier of its own. Each life of it has its own tap: the
    collection, to which a batch comes once it is in the spool."""

    options = {"SPOOL": "always"}
    # What compare() counts, and must not find.
    wrongs = ("lost", "doubled")
    never_says = ("spool_takes_nothing", "batches_dropped", "spool_file_damaged",
                  "batch_rejected", "measurements_lost", "collection_unwritable")

    def __init__(self, number, place, relay):
        super().__init__(f"agent-{number:02}", place)
        self.relay = relay
        self.spool = self.path + ".spool"
        self.lives = 0

    def launch(self):
        self.lives += 1
        return Pcc(self.relay, SPOOL_DIR=self.spool, IDENTIFIER=self.name,
                   COLLECTION=f"{self.path}.tap.{self.lives}", **AGENT, **self.options)

    def _over(self):
        log = self.program.log
        super()._over()
        for event in self.never_says:
            if f"event={event}" in log:
                raise Unexpected(f"{self.name}, life {self.lives}:\n{log}")

    def backlog(self):
        """Files that are not in the store, for all that is known."""
        if not os.path.isdir(self.spool):
            return 0
        return sum(name.endswith(".batch") for name in os.listdir(self.spool))

    def ends_with_nothing(self):
        """Ends it, where it has nothing but what is new. Return: has it nothing left? Else
        another one has started."""
        if not self.ending and self.backlog() > 2:
            return False
        self.end()
        if self.backlog() == 0:
            return True
        self.start()
        return False

    def taps(self):
        """The lines of each life. A kill may have torn the last one."""
        for life in range(1, self.lives + 1):
            path = f"{self.path}.tap.{life}"
            if os.path.exists(path):
                with open(path, "rb") as f:
                    yield f.read().split(b"\n")[:-1]

    def show(self, what, lines):
        for line in sorted(lines, key=when)[:3]:
            print(f"{self.name}: {what}: {line}", flush=True)

    def compare(self, stored):
        """Compares the taps with the store's lines: counts of what is in either, lost,
        doubled, and stored without having been noted, which a kill explains."""
        noted, count = Counter(line for tap in self.taps() for line in tap), Counter(stored)
        lost = noted - count
        doubled = {line for line, n in count.items() if n > 1}
        unnoted = set(count) - set(noted)
        if "lost" in self.wrongs:
            self.show("lost", lost)
        self.show("doubled", doubled)
        return {"noted": len(noted), "stored": len(stored), "lost": len(lost),
                "doubled": len(doubled), "unnoted": len(unnoted)}


class ForgetfulAgent(Agent):
    """One that keeps fresh batches in memory: a kill costs what is there. Its tap has what
    was taken, before it is safe. What is lost stands in a gap, and so does every tick that
    never came to the tap."""

    options = {"SPOOL": "auto", "QUEUE_MAX": 64 << 10}
    kept_bytes = 32 << 10  # half of the queue is what memory keeps
    wrongs = ("doubled", "untold", "beyond", "silent")
    # Of a measurement 122 bits are random, which no coding makes less.
    least_bytes = 15
    # From its start to its first tick, or from its last tick to being told to end, at most:
    # the machine may be busy with others.
    slack_s = 1 * PATIENCE
    hole_s = 2.5 * INTERVAL_S

    def __init__(self, number, place, relay):
        super().__init__(number, place, relay)
        # Which life, and when: was told to end, so that nothing is due until the next has
        # started; has started, by its log.
        self.ends = []
        self.starts = []

    def _over(self):
        started = re.search(r"(\S+) INFO event=started", self.program.log)
        if started:
            self.starts.append((self.lives, time_of(started[1])))
        super()._over()

    def ask_to_end(self):
        now = time.time()
        asked = super().ask_to_end()
        if asked:
            self.ends.append((self.lives, now))
        return asked

    def compare(self, stored):
        counts = super().compare(stored)
        gaps = [json.loads(m["measurement"]) for m in map(json.loads, stored)
                if m["subsystem"] == "pcc/gap"]
        there = set(stored)
        lost = [[line for line in tap if line not in there] for tap in self.taps()]
        untold = [line for tap in lost for line in tap if not covered(gaps, seconds_of(line))]
        # Beside the queue's share, what is being sent and what is being sealed.
        most = self.kept_bytes / self.least_bytes + 2 * BATCH * len(SOURCES.split(","))
        silent = self.silence(sorted(map(seconds_of, stored)), gaps)
        self.show("lost without a word", untold)
        for first, last in silent[:3]:
            print(f"{self.name}: nothing, and no word of it: {first:.3f} to {last:.3f}",
                  flush=True)
        return {**counts, "untold": len(untold),
                "beyond": sum(len(tap) > most for tap in lost), "silent": len(silent)}

    def _first_tick(self, after, life=0):
        """At the latest, of the next life that started after that moment and that life."""
        return self.slack_s + min((at for number, at in self.starts
                                   if at >= after and number > life), default=after)

    def silence(self, times, gaps):
        """The spans between ticks in the store that miss more than one tick of which no gap
        tells, while it was not at its end."""
        told = [(gap["from"], self._first_tick(gap["to"]) if gap["kind"] == "killed"
                 else gap["to"]) for gap in gaps]
        told += [(at - self.slack_s, self._first_tick(at, life)) for life, at in self.ends]
        told.sort()
        silent = []
        for first, last in zip(times, times[1:]):
            if last - first <= self.hole_s:
                continue
            at = first
            for began, ended in told:
                if began <= at + self.hole_s:
                    at = max(at, ended)
            if last - at > self.hole_s:
                silent.append((first, last))
        return silent


class CrampedAgent(ForgetfulAgent):
    """One whose spool is soon full, too, and loses its oldest."""

    options = {**ForgetfulAgent.options, "SPOOL_MAX": 64 << 10}
    kept_bytes = math.inf
    never_says = ("spool_file_damaged", "batch_rejected", "collection_unwritable")

    def check_end(self, status):
        # Which the next one tells of.
        if status != 1 or "event=measurements_lost" not in self.program.log:
            super().check_end(status)


def covered(gaps, seconds):
    return any(gap["from"] <= seconds <= gap["to"] for gap in gaps)


def when(line):
    m = json.loads(line)
    return m["timestamp"], m.get("nanoseconds", 0), m["subsystem"]


def seconds_of(line):
    whole, nanoseconds, _ = when(line)
    return whole + nanoseconds / 1e9


class Server(Member):
    """The pcd, behind whose back its disk does what it wants."""

    def __init__(self, place):
        super().__init__("pcd", place)
        self.home = self.path
        os.mkdir(self.home)
        self.port = quiet_port()
        self.shim = faults.Shim(self.home)
        self.rules = ()
        self.may_die = False  # its disk gave it a reason, in this life
        self.deaths = 0

    def launch(self):
        self.may_die = bool(self.rules)
        return Pcd(home=self.home, port=self.port, wait=False,
                   environment=self.shim.environment, **SERVER)

    def check_end(self, status):
        if not self.may_die:
            super().check_end(status)

    def revive(self):
        """Starts it again where it ended by itself, as a service manager does."""
        if not self._alive() or self.program.process.poll() is None:
            return
        if not self.may_die:
            raise Unexpected(f"pcd has ended:\n{self.program.log}")
        self.deaths += 1
        self.program.wait()
        self._over()
        self.start()

    def kill(self):
        self.revive()
        try:
            return super().kill()
        except AssertionError:
            if not self.may_die:
                raise
            return False  # its disk was faster

    def disk_suffers(self, rules):
        self.rules = rules
        self.may_die = True
        self.shim.rules(*rules)

    def disk_is_well(self, rules):
        """What began later takes the place of what was before it, and goes on."""
        if self.rules == rules:
            self.rules = ()
            self.shim.rules()

    def wait_ready(self):
        """Waits until it listens; it may have to be started anew for that."""
        def listens():
            self.revive()
            return "event=listening" in self.program.log
        wait_for("pcd to listen", listens, 60)

    def stored(self, identifier):
        """All lines of an agent in the store, once pcd has ended."""
        base = os.path.join(self.home, "data", identifier)
        lines = []
        for name in sorted(os.listdir(base)) if os.path.isdir(base) else ():
            with open(os.path.join(base, name), "rb") as f:
                text = f.read()
            if text and not text.endswith(b"\n"):
                raise Unexpected(f"{name} of {identifier} ends in half a line")
            lines += text.splitlines()
        return lines
