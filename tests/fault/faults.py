# SPDX-License-Identifier: MIT
"""A program between which and the kernel faults happen: the shim (shim.c) and its rules.

    shim = Shim(home)
    pcd = Pcd(home=home, environment=shim.environment)
    shim.rules("sync log/* EIO after 3 times 1", "statvfs * free:0")
    ...
    shim.rules()

shim_rules.h says what rules there are. They may be replaced while the program runs.
"""

import os
import re
import subprocess

from e2e import BUILD, PCC, PCD, Skip, folder, wait_for

SHIM = os.path.abspath(os.path.join(BUILD, "tests", "fault", "libpcshim.so"))


def sanitizers_of(program):
    """The libraries of sanitizers that a program is linked with, which want to be the
    first: what they replace, they hand on to the shim."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return re.findall(r"(/\S*/lib(?:asan|tsan|ubsan)\.so\S*)", linked)


class Shim:
    """Faults for one program at a time, on files below a folder, which must exist."""

    def __init__(self, root, journal=None, program=PCD):
        if not os.path.exists(SHIM):
            raise Skip("the shim is not built")
        self.root = os.path.realpath(root)
        self._folder = folder()
        self._rules = os.path.join(self._folder, "rules")
        self._hits = os.path.join(self._folder, "hits")
        self.rules()
        self.environment = {
            "LD_PRELOAD": ":".join([*sanitizers_of(program), SHIM]),
            "PC_SHIM_ROOT": self.root,
            "PC_SHIM_RULES": self._rules,
            "PC_SHIM_HITS": self._hits,
        }
        if journal:
            self.environment["PC_SHIM_JOURNAL"] = journal

    def rules(self, *rules):
        """Replaces all rules, which begin to count; without one all is well again."""
        with open(self._rules + ".new", "w") as f:
            f.write("".join(rule + "\n" for rule in rules))
        os.rename(self._rules + ".new", self._rules)

    def hits(self, pattern=""):
        """The calls that were touched, as `CALL PATH ACTION`."""
        if not os.path.exists(self._hits):
            return []
        with open(self._hits) as f:
            return [hit for hit in f.read().splitlines() if re.search(pattern, hit)]

    def wait_hit(self, pattern="", n=1, seconds=30):
        return wait_for(f"{n} calls touched like {pattern!r}",
                        lambda: len(self.hits(pattern)) >= n, seconds)


__all__ = ["PCC", "PCD", "Shim"]
