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


def _table(header, rows):
    lines = ["| " + " | ".join(map(_cell, header)) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


class Report:
    """One run. folder: where RESULTS.md and plots/ go; command: how it was started."""

    def __init__(self, folder, command):
        self.folder = folder
        self.command = command
        self.begin = time.time()
        self._load = os.getloadavg()[0]
        self._goals = []
        self._body = []
        os.makedirs(folder, exist_ok=True)

    def section(self, title):
        """Begins what a part has to say."""
        self._body.append(f"## {title}")

    def text(self, markdown):
        self._body.append(markdown.strip("\n"))

    def table(self, header, rows):
        """Cells are shown as they are; format numbers before."""
        self._body.append(_table(header, rows))

    def goal(self, what, goal, reached, met, command):
        """A row of the table of goals. met: True, False, or None where it can't be said."""
        word = {True: "yes", False: "**no**", None: "?"}[met]
        self._goals.append([what, goal, reached, word, f"`{command}`"])

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
        self._body.append(f"![{title}](plots/{name}.svg)")

    def write(self):
        """Writes all there is so far. Returns the path."""
        path = os.path.join(self.folder, "RESULTS.md")
        parts = ["# What perfcollector costs\n",
                 f"Written by `{self.command}`. A figure of several runs is their median, with"
                 " the least\nand the greatest behind it. Times on a shared machine are noisy:"
                 " compare what stands\nin one report, not reports.\n", self._machine()]
        if self._goals:
            parts += ["\n## Goals\n",
                      _table(["what", "goal", "reached", "met", "by"], self._goals)]
        text = "\n".join(parts) + "\n\n" + "\n\n".join(self._body) + "\n"
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(re.sub(r"\n{3,}", "\n\n", text))
        os.rename(path + ".new", path)
        return path

    def _machine(self):
        took = (time.time() - self.begin) / 60
        rows = [["machine", f"{prepare.processor()}, {os.cpu_count()} CPUs,"
                            f" {prepare.memory() / 2**30:.1f} GiB"],
                ["system", f"{prepare.distribution()}, Linux {os.uname().release},"
                           f" {prepare.disk(self.folder)}"],
                *prepare.versions(),
                ["commit", prepare.commit()],
                ["date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.begin))
                 + f", took {took:.0f} min"],
                ["load before", f"{self._load:.2f}"]]
        return _table(["", ""], rows)


def _quoted(text):
    return "'" + text.replace("'", "''") + "'"
