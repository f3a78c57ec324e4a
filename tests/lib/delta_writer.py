# SPDX-License-Identifier: MIT
"""Writes delta messages (proto/README.md, chapter "Delta") for tests: little of what the
form allows, and from shapes that the test gives, so that nothing here is guessed.

A shape is the bytes of a text with 00 for each number in it. Every tick has a measurement
of every subsystem.
"""

import os
import sys

import msgpack

from e2e import SOURCE

sys.path.insert(0, os.path.join(SOURCE, "proto", "vectors"))
from writer import bits, changes, shape as counted, zigzag  # noqa: E402  (found only now)

TYPE = "application/vnd.perfcollector.delta+msgpack"
KNOWN = ("/proc/stat", "/proc/meminfo", "/proc/net/dev", "/proc/diskstats")


def ones(flags):
    """The bitmap in which those are 1 that are not 0 here."""
    return bits(*[i for i, flag in enumerate(flags) if flag], n=len(flags))


def text(shape, numbers):
    parts = shape.split(b"\0")
    return parts[0] + b"".join(b"%d" % n + part for n, part in zip(numbers, parts[1:]))


class Writer:
    """One chain. shapes: by subsystem, one of KNOWN; a batch is a list of ticks, each a
    time in whole seconds and the numbers of each subsystem in the order of shapes."""

    def __init__(self, identifier, shapes):
        self.identifier, self.shapes = identifier, shapes
        self.snapshots = self.number = self.tick = 0
        self.time, self.values = 0, [[0] * shape.count(0) for shape in shapes.values()]

    def snapshot(self, ticks):
        self.snapshots, self.number = self.snapshots + 1, 0
        return self._write(ticks, {"ss": self.snapshots, "q": 0}, True)

    def next(self, ticks):
        self.number += 1
        return self._write(ticks, {"ss": self.snapshots, "q": self.number}, False)

    def alone(self, ticks):
        """Leaves the chain as it is."""
        kept = self.time, self.values
        message = self._write(ticks, {}, True)
        self.time, self.values = kept
        return message

    def measurements(self, ticks):
        """What pcd should make of it."""
        return [{"timestamp": time, "subsystem": name,
                 "measurement": text(shape, numbers).decode()}
                for time, *rows in ticks
                for (name, shape), numbers in zip(self.shapes.items(), rows)]

    def _write(self, ticks, place, whole):
        message = {"v": 1, "i": self.identifier, **place, "k": self.tick}
        if whole:
            message["h"] = {"bt": ticks[0][0]}
            self.time, self.values = ticks[0][0], [None] * len(self.shapes)
        message.update(to=self._times([tick[0] for tick in ticks]), m=[])
        streams = dict.fromkeys(("sh", "bv", "cb", "ch"), b"")
        for index, (name, shape) in enumerate(self.shapes.items()):
            message["m"].append([KNOWN.index(name), 1 if whole else 0])
            self._code(index, shape, [tick[index + 1] for tick in ticks], streams)
        self.tick += len(ticks)
        return msgpack.packb({**message, **streams})

    def _times(self, times):
        out, before, difference = b"", self.time, 0
        for at, time in enumerate(times):
            step = time - before
            out += zigzag(step if at < 2 else step - difference)
            before, difference = time, step
        self.time = before
        return out

    def _code(self, index, shape, rows, streams):
        if self.values[index] is None:
            streams["sh"] += counted(shape)
            streams["bv"] += zigzag(*rows[0])
            self.values[index], rows = rows[0], rows[1:]
        steps = []
        for row in rows:
            steps.append([new - old for new, old in zip(row, self.values[index])])
            self.values[index] = row
        columns = list(zip(*steps))
        if rows:
            streams["cb"] += ones([any(column) for column in columns])
        for column in columns:
            if any(column):
                streams["cb"] += ones(column)
                streams["ch"] += changes(*filter(None, column))
