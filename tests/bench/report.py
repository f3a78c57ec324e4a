# SPDX-License-Identifier: MIT
"""The report of a run of the benchmark: Markdown that a person can read, and its plots.

Each part adds sections to it; what it says of goals comes together in one table at the
top. It is written anew after each part, so that a run that is cut short has one too.
"""

import os
import re
import statistics
import subprocess
import time

import prepare

# A plot as wide as a page of text, in a font that a browser has.
TERMINAL = 'svg size 720,430 font "sans-serif,13" background "white" dynamic'


def number(value):
    """A figure to three digits, without an exponent, thousands apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - int(f"{abs(value):e}".split("e")[1]))
    return f"{value:,.{digits}f}"


def spread(values, show=number):
    """The median of several runs, and how far they lie apart."""
    values = list(values)
    middle = show(statistics.median(values))
    if len(values) < 2:
        return middle
    return f"{middle} ({show(min(values))}–{show(max(values))})"


def _cell(value):
    return str(value).replace("|", "\\|").replace("\n", " ")


def _row(cells):
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _table(header, rows):
    return "\n".join([_row(header), "|" + " --- |" * len(header), *map(_row, rows)])


def _read(path):
    """A report that is there: what comes before its goals, their rows, and its sections as
    (title, text)."""
    with open(path, encoding="utf-8") as f:
        head, *sections = re.split(r"^## ", f.read(), flags=re.MULTILINE)
    sections = [tuple(text.split("\n", 1)) for text in sections]
    goals = []
    if sections and sections[0][0] == "Goals":
        goals = sections.pop(0)[1].strip().splitlines()[2:]
    return head.strip(), goals, [(title, text.strip()) for title, text in sections]


def _by(row):
    """Which part a row of the goals is from."""
    return row.rstrip(" |").rsplit(" ", 1)[1].strip("`")


class Report:
    """One run. folder: where RESULTS.md and plots/ go; command: how it was started; again:
    do goals and sections take the place of those that the report there has?"""

    def __init__(self, folder, command, again=False):
        self.folder = folder
        self.command = command
        self.begin = time.time()
        self._path = os.path.join(folder, "RESULTS.md")
        self._load = os.getloadavg()[0]
        self._goals = []
        self._sections = []
        self._parts = []
        self._there = _read(self._path) if again else None
        os.makedirs(folder, exist_ok=True)

    def section(self, title, part=None):
        """Begins what a part has to say."""
        self._sections.append([title])
        if part:
            self._parts.append(part)

    def text(self, markdown):
        if not self._sections:
            self.section("About these figures")
        self._sections[-1].append(markdown.strip("\n"))

    def table(self, header, rows):
        """Cells are shown as they are; format numbers before."""
        self.text(_table(header, rows))

    def goal(self, what, goal, reached, met, command):
        """A row of the table of goals. met: True, False, or None where it can't be said."""
        word = {True: "yes", False: "**no**", None: "?"}[met]
        self._goals.append(_row([what, goal, reached, word, f"`{command}`"]))

    def plot(self, name, title, xlabel, ylabel, series, logx=False, logy=False):
        """Draws lines. series: a list of (x, y) by its label."""
        plots = os.path.join(self.folder, "plots")
        os.makedirs(plots, exist_ok=True)
        path = os.path.join(plots, name + ".svg")
        script = [f"set terminal {TERMINAL}", f"set output {_quoted(path)}",
                  f"set title {_quoted(title)}", f"set xlabel {_quoted(xlabel)}",
                  f"set ylabel {_quoted(ylabel)}", "set grid", "set key outside below",
                  "set xrange [*:*] noextend"]
        script += [f"set logscale {axis}" for axis, wanted in (("x", logx), ("y", logy)) if wanted]
        if not logy:
            script.append("set yrange [0:*]")
        lines, data = [], []
        for i, (label, points) in enumerate(series.items(), 1):
            data += [f"$d{i} << END"] + [f"{x} {y}" for x, y in sorted(points)] + ["END"]
            lines.append(f"$d{i} using 1:2 with linespoints lw 2 pt 7 ps 0.6"
                         f" title {_quoted(label)}")
        script += data + ["plot " + ", ".join(lines)]
        subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True,
                       env={**os.environ, "LC_ALL": "C.UTF-8"})
        self.text(f"![{title}](plots/{name}.svg)")

    def write(self):
        """Writes all there is so far. Returns the path."""
        head, goals, sections = self._merged() if self._there else self._new()
        parts = [head]
        if goals:
            parts.append("## Goals\n\n" + "\n".join(
                [_table(["what", "goal", "reached", "met", "by"], []), *goals]))
        parts += [f"## {title}\n\n{text}" for title, text in sections]
        text = "\n\n".join(parts) + "\n"
        with open(self._path + ".new", "w", encoding="utf-8") as f:
            f.write(re.sub(r"\n{3,}", "\n\n", text))
        os.rename(self._path + ".new", self._path)
        return self._path

    def _new(self):
        head = ("# What perfcollector costs\n\n"
                f"Written by `{self.command}`. A figure of several runs is their median, with"
                " the least\nand the greatest behind it. Times on a shared machine are noisy:"
                " compare what stands\nin one report, not reports.\n\n" + self._machine())
        return head, self._goals, self._texts()

    def _texts(self):
        return [(title, "\n\n".join(texts)) for title, *texts in self._sections]

    def _merged(self):
        """What is there, with what was measured again in its place."""
        head, goals, sections = self._there
        head += "\n" + _row(["measured again", f"{', '.join(self._parts)}: {self._date()},"
                             f" commit {prepare.commit()}, load before {self._load:.2f}"])
        for part in {_by(row): None for row in self._goals}:
            at = [i for i, row in enumerate(goals) if _by(row) == part]
            rows = [row for row in self._goals if _by(row) == part]
            goals = [row for row in goals if _by(row) != part]
            place = at[0] if at else len(goals)
            goals[place:place] = rows
        for title, text in self._texts():
            if title not in [old for old, _ in sections]:
                sections = [*sections, (title, text)]
            sections = [(old, text if old == title else was) for old, was in sections]
        return head, goals, sections

    def _date(self):
        took = (time.time() - self.begin) / 60
        return (time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.begin)) +
                f", took {took:.0f} min")

    def _machine(self):
        rows = [["machine", f"{prepare.processor()}, {os.cpu_count()} CPUs,"
                            f" {prepare.memory() / 2**30:.1f} GiB"],
                ["system", f"{prepare.distribution()}, Linux {os.uname().release},"
                           f" {prepare.disk(self.folder)}"],
                *prepare.versions(),
                ["commit", prepare.commit()],
                ["date", self._date()],
                ["load before", f"{self._load:.2f}"]]
        return _table(["", ""], rows)


def _quoted(text):
    return "'" + text.replace("'", "''") + "'"
