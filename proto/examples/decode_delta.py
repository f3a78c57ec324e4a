#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads delta batches: an example of how, beside ../README.md, chapter "Delta". Run with the
bodies of one chain as files, not compressed, it prints what they hold."""

import json, os, sys
import msgpack

WELL_KNOWN = """/proc/stat /proc/meminfo /proc/net/dev /proc/diskstats statfs[*] pcc/gap pcd/gap
    /proc/cpuinfo /proc/loadavg /proc/vmstat /proc/net/snmp /proc/net/netstat /proc/interrupts
    /proc/pressure/cpu /proc/pressure/memory /proc/pressure/io""".split()
with open(os.path.join(os.path.dirname(__file__), "..", "fragments.json"), encoding="utf-8") as f:
    FRAGMENTS = [text.encode("latin-1") for text in json.load(f)]
MASK, NEW_SHAPE, PREDICTORS, RAW = 2**64 - 1, 1, 2, 4

class Malformed(Exception): """A message that breaks a rule."""
class Conflict(Exception): """A batch that builds on a state that is not there."""

def need(condition, why):
    if not condition: raise Malformed(why)

class Stream:  # bytes that are read once, from the first to the last
    def __init__(self, data):
        self.data, self.at = data, 0
    def take(self, n):
        need(self.at + n <= len(self.data), "a stream ends too early")
        self.at += n
        return self.data[self.at - n:self.at]
    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            need(value <= MASK and shift <= 70, "a number of more than 64 bits")
            if byte < 128: return value
    def signed(self, plus=0):
        z = self.varint() + plus
        need(z <= MASK, "a residual that there is not")
        return z >> 1 ^ -(z & 1)
    def bits(self, n):
        number = int.from_bytes(self.take((n + 7) // 8), "little")
        need(number >> n == 0, "bits beyond the end of a bitmap")
        return [number >> i & 1 for i in range(n)]

def read_shape(code):
    """A shape as a list of literal bytes and of columns (kind, width)."""
    parts, s = [], Stream(code)
    while s.at < len(code):
        byte = s.take(1)
        if byte[0] < 3:
            parts.append((byte[0], s.take(1)[0] if byte[0] else 0))
            need(parts[-1] not in ((1, 0), (2, 0)), "a column without width")
        elif byte[0] == 4:
            first, n = s.varint(), s.varint()
            need(n and first + n <= len(FRAGMENTS), "fragments that there are not")
            parts += read_shape(b"".join(FRAGMENTS[first:first + n]))
        else:
            need(byte[0] not in (5, 6, 7), "a byte without meaning")
            parts.append(s.take(1) if byte[0] == 3 else byte)
    return parts

def write(parts, values):
    """The text that a shape makes of values."""
    values = iter(values)
    forms = (lambda _, v: b"%d" % v, lambda w, v: b" %*d" % (w - 1, v), lambda w, v: b"%0*d" % (w, v))
    return b"".join(p if isinstance(p, bytes) else forms[p[0]](p[1], next(values)) for p in parts)

class Source:  # what is kept of a subsystem: parts of its shape, if any, values, predictors
    def __init__(self, name):
        self.name, self.parts, self.values, self.predictors = name, None, [], {}
    def read_predictors(self, s):
        at = -1
        for _ in range(s.varint()):
            at += s.varint() + 1
            byte = s.take(1)[0]
            terms = [(at - s.varint(), -1 if byte >> 3 + i & 1 else 1) for i in range(byte >> 1 & 3)]
            need(len(terms) < 3 and at < len(self.values) and all(0 <= c < at for c, _ in terms), "terms")
            self.predictors[at] = {"pace": 0 if byte & 1 else None, "terms": terms, "shift": byte >> 5}
    def texts(self, flags, n, streams):
        """The texts of a group, one after the other."""
        if flags == RAW:
            self.__init__(self.name)
            return [streams["rw"].take(streams["rw"].varint()) for _ in range(n)]
        if flags & NEW_SHAPE:
            self.parts = read_shape(streams["sh"].take(streams["sh"].varint()))
            count = sum(isinstance(part, tuple) for part in self.parts)
            if len(self.values) != count: self.values, self.predictors = [0] * count, {}
            self.values = [v + streams["bv"].signed() & MASK for v in self.values]
        need(self.parts is not None, "a shape that there is not")
        if flags & PREDICTORS: self.read_predictors(streams["pr"])
        coded, texts = n - (flags & NEW_SHAPE), []
        changed = streams["cb"].bits(len(self.values)) if coded else []
        samples = [streams["cb"].bits(coded) if bit else [0] * coded for bit in changed]
        steps = [[streams["ch"].signed(1) if bit else 0 for bit in bits] for bits in samples]
        if flags & NEW_SHAPE: texts.append(write(self.parts, self.values))
        for step in map(list, zip(*steps) if self.values else [()] * coded):
            for column, p in sorted(self.predictors.items()):
                step[column] <<= p["shift"]
                if p["pace"] is not None: step[column] = p["pace"] = step[column] + p["pace"]
                step[column] += sum(sign * step[c] for c, sign in p["terms"])
            self.values = [v + change & MASK for v, change in zip(self.values, step)]
            texts.append(write(self.parts, self.values))
        return texts

class State:  # what a decoder keeps of a chain
    def __init__(self):
        self.place, self.time, self.sources = None, 0, [Source(name) for name in WELL_KNOWN]

def decode(body, state):
    """(identifier, ticks): each tick is (nanoseconds since the epoch, [(subsystem, text)])."""
    m = msgpack.unpackb(body, strict_map_key=False)
    place, alone = (m.get("ss"), m.get("q")), not m.get("q")
    need(m.get("v") == 1 and "k" in m and ("ss" in m) == ("q" in m) and alone == ("h" in m) and
         ("to" in m) != ("tn" in m), "the head")
    if not alone and (not state.place or place != (state.place[0], state.place[1] + 1)): raise Conflict()
    s = State() if alone else state
    unit, clock = (10**9, Stream(m["to"])) if "to" in m else (1, Stream(m["tn"]))
    time, step, times = m["h"]["bt"] * 10**9 if alone else s.time, 0, []
    need(time % unit == 0, "seconds behind a time that is no whole second")
    while clock.at < len(clock.data):
        step = clock.signed() + (step if len(times) > 1 else 0)
        time += step * unit
        need(946684800 <= time // 10**9 <= 7289654399, "a time outside the years 2000 to 2200")
        times.append(time)
    streams = {key: Stream(m.get(key, b"")) for key in ("sh", "bv", "pr", "cb", "ch", "rw", "o")}
    groups = [g if isinstance(g, list) else [g, 0] for g in m["m"]]
    if m.get("o"):
        order = [[streams["o"].varint() for _ in range(streams["o"].varint())] for _ in times]
    else:
        masks = [Stream(g[2]).bits(len(times)) if len(g) > 2 else [1] * len(times) for g in groups]
        order = [[i for i, mask in enumerate(masks) if mask[t]] for t in range(len(times))]
    need(all(order), "a tick without measurements")
    texts = []
    for i, (number, flags, *_) in enumerate(groups):
        if isinstance(number, str):
            s.sources.append(Source(number))
            number = len(s.sources) - 1
        n = sum(tick.count(i) for tick in order)
        need(number < len(s.sources) and flags < 5 and n, "a group")
        source = s.sources[number]
        texts.append(iter([(source.name, text) for text in source.texts(flags, n, streams)]))
    need(all(x.at == len(x.data) for x in streams.values()), "a stream with bytes left over")
    if place[0] is not None: state.__dict__.update(s.__dict__, place=place, time=time)
    return m["i"], [(t, [next(texts[i]) for i in tick]) for t, tick in zip(times, order)]

if __name__ == "__main__":
    chain = State()
    for path in sys.argv[1:]:
        with open(path, "rb") as file: print(*decode(file.read(), chain)[1], sep="\n")
