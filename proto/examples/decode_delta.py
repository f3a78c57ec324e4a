#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads delta batches: an example of how, beside ../README.md, chapter "Delta". Run with the
bodies of one chain as files, not compressed, it prints what they hold."""

import json, msgpack, os, re, sys

WELL_KNOWN = """/proc/stat /proc/meminfo /proc/net/dev /proc/diskstats statfs[*] pcc/gap pcd/gap
    /proc/cpuinfo /proc/loadavg /proc/vmstat /proc/net/snmp /proc/net/netstat /proc/interrupts
    /proc/pressure/cpu /proc/pressure/memory /proc/pressure/io""".split()
with open(os.path.join(os.path.dirname(__file__), "..", "fragments.json"), encoding="utf-8") as f:
    FRAGMENTS = [text.encode("latin-1") for text in json.load(f)]
MASK, NEW_SHAPE, PREDICTORS, RAW = 2**64 - 1, 1, 2, 4
class Malformed(ValueError): """A message that breaks a rule: 400, as any other ValueError."""
class Conflict(Exception): """A batch that builds on a state that is not there: 409."""
class Unsupported(Exception): """A message of another version: 415."""
def need(condition, why):
    if not condition: raise Malformed(why)

class Stream:  # bytes that are read once, from the first to the last
    def __init__(self, data):
        need(type(data) is bytes, "a stream that is not a bin")
        self.data, self.at = data, 0
    def take(self, n):
        need(self.at + n <= len(self.data), "a stream ends too early")
        self.at += n
        return self.data[self.at - n:self.at]
    def varint(self):
        value = 0
        for shift in range(0, 77, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            need(value <= MASK and shift < 70, "a number of more than 64 bits")
            if byte < 128: return value
    def signed(self, plus=0):
        z = self.varint() + plus
        need(z <= MASK, "a residual that there is not")
        return z >> 1 ^ -(z & 1)
    def bits(self, n):
        number = int.from_bytes(self.take((n + 7) // 8), "little")
        need(number >> n == 0, "bits beyond the end of a bitmap")
        return [number >> i & 1 for i in range(n)]

def read_shape(code):  # as a list of literal bytes and of columns (kind, width)
    parts, s = [], Stream(code)
    while s.at < len(code):
        byte = s.take(1)
        need(byte[0] not in (5, 6, 7), "a byte without meaning")
        if byte[0] < 3:
            parts.append((byte[0], s.take(1)[0] if byte[0] else 0))
            need(parts[-1] not in ((1, 0), (2, 0)), "a column without width")
        elif byte[0] == 4:
            first, n = s.varint(), s.varint()
            need(n and first + n <= len(FRAGMENTS), "fragments that there are not")
            parts += read_shape(b"".join(FRAGMENTS[first:first + n]))
        else: parts.append(s.take(1) if byte[0] == 3 else byte)
    return parts
def write(parts, values):  # the text that a shape makes of values, an iterator
    forms = (lambda _, v: b"%d" % v, lambda w, v: b" %*d" % (w - 1, v), lambda w, v: b"%0*d" % (w, v))
    return b"".join(p if isinstance(p, bytes) else forms[p[0]](p[1], next(values)) for p in parts)

class Source:  # what is kept of a subsystem: parts of its shape, if any, values, predictors
    def __init__(self, name): self.name, self.parts, self.values, self.predictors = name, None, [], {}
    def read_predictors(self, s):
        at = -1
        for _ in range(s.varint()):
            at += s.varint() + 1
            byte = s.take(1)[0]
            terms = [(at - s.varint(), -1 if byte >> 3 + i & 1 else 1) for i in range(byte >> 1 & 3)]
            need(at < len(self.values) and all(0 <= column < at for column, _ in terms), "a column")
            need(len(terms) < 3 and not (byte >> 3 & 3) >> len(terms), "a term that there is not")
            self.predictors[at] = {"pace": 0 if byte & 1 else None, "terms": terms, "shift": byte >> 5}
    def texts(self, flags, n, streams):  # of a group, one after the other
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
        coded, texts = (n - 1, [write(self.parts, iter(self.values))]) if flags & NEW_SHAPE else (n, [])
        changed = streams["cb"].bits(len(self.values)) if coded else []
        samples = [streams["cb"].bits(coded) if bit else [0] * coded for bit in changed]
        steps = [[streams["ch"].signed(1) if bit else 0 for bit in bits] for bits in samples]
        for step in map(list, zip(*steps) if self.values else [()] * coded):
            for column, p in sorted(self.predictors.items()):
                step[column] <<= p["shift"]
                if p["pace"] is not None: step[column] = p["pace"] = step[column] + p["pace"]
                step[column] += sum(sign * step[c] for c, sign in p["terms"])
            self.values = [v + change & MASK for v, change in zip(self.values, step)]
            texts.append(write(self.parts, iter(self.values)))
        return texts

class State:  # what a decoder keeps of a chain
    def __init__(self): self.place, self.time, self.sources = None, 0, [Source(name) for name in WELL_KNOWN]

def read_groups(m, times, sources):  # (source, flags) of each; and the numbers of those in each tick
    groups, order, o = [], [[] for _ in times], Stream(m.get("o", b""))
    for g in m["m"]:
        name, flags, *ticks = g if type(g) is list and len(g) in (2, 3) else (g, 0)
        if type(name) is str: sources.append(Source(name))
        number = len(sources) - 1 if type(name) is str else name
        need(type(number) is type(flags) is int and 0 <= number < len(sources) <= 1024 and 0 <= flags < 5
             and all(type(t) is bytes and len(t) == (len(times) + 7) // 8 and not o.data for t in ticks), "a group")
        for tick, bit in zip(order, Stream(*ticks).bits(len(times)) if ticks else [1] * len(times)):
            tick += [len(groups)] * bit
        groups.append((sources[number], flags))
    if o.data: order = [[o.varint() for _ in range(o.varint())] for _ in times]
    turns = [i for tick in order for i in tick]
    need(o.at == len(o.data) and all(order) and set(turns) == set(range(len(groups))), "an order")
    source = [id(source) for source, _ in groups].__getitem__
    need(sorted(turns, key=source) == sorted(sorted(turns), key=source), "a group before its turn")
    return groups, order

def decode(body, state):  # (identifier, ticks), of those (nanoseconds since 1970, [(subsystem, text)])
    m = msgpack.unpackb(body, strict_map_key=False)
    need(type(m) is dict and type(m.get("v")) is int and m["v"] >= 0, "a map with its version")
    if m["v"] != 1: raise Unsupported()
    place, alone, h, name = (m.get("ss"), m.get("q")), not m.get("q"), m.get("h", {}), m.get("i")
    need(("ss" in m) == ("q" in m) and ("to" in m) != ("tn" in m) and alone == ("h" in m) and
         type(h) is dict and type(m.get("m")) is list, "a member that is missing, or one too many")
    numbers = [m[key] for key in ("ss", "q") if key in m] + [m.get("k"), h.get("bt") if alone else 0]
    need(all(type(n) is int and 0 <= n <= MASK for n in numbers) and numbers[-1] <= 7289654399, "a number")
    need(type(name) is str and re.fullmatch("[^\0-\x1f\x7f-\x9f]+", name) and len(name.encode()) <= 128, "i")
    streams = {key: Stream(m.get(key, b"")) for key in ("sh", "bv", "pr", "cb", "ch", "rw")}
    if not alone and (not state.place or place != (state.place[0], state.place[1] + 1)): raise Conflict()
    s = State() if alone else state
    s.place = None  # unless all goes well
    unit, clock = (10**9, Stream(m["to"])) if "to" in m else (1, Stream(m["tn"]))
    time, step, times = numbers[-1] * 10**9 if alone else s.time, 0, []
    need(time % unit == 0, "seconds behind a time that is no whole second")
    while clock.at < len(clock.data):
        step = clock.signed() + (step if len(times) > 1 else 0)
        time = (time // unit + step & MASK) * unit
        need(946684800 <= time // 10**9 <= 7289654399, "a time outside the years 2000 to 2200")
        times.append(time)
    groups, order = read_groups(m, times, s.sources)
    texts = [iter(source.texts(flags, sum(tick.count(i) for tick in order), streams))
             for i, (source, flags) in enumerate(groups)]
    need(all(x.at == len(x.data) for x in streams.values()), "a stream with bytes left over")
    if place[0] is not None: state.__dict__.update(s.__dict__, place=place, time=time)
    return name, [(t, [(groups[i][0].name, next(texts[i])) for i in tick]) for t, tick in zip(times, order)]

if __name__ == "__main__":
    chain = State()
    for path in sys.argv[1:]:
        with open(path, "rb") as file: print(*decode(file.read(), chain)[1], sep="\n")
