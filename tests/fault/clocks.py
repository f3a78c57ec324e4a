# SPDX-License-Identifier: MIT
"""A program whose clocks a test sets while it runs: clock.c and the file it reads.

    clock = Clock(wall=5 * HOUR)
    pcc = Pcc(environment=clock.environment)
    clock.set(wall=-9 * HOUR)
"""

import mmap
import os
import struct

from e2e import BUILD, PCC, Skip, folder
from faults import sanitizers_of

LIBRARY = os.path.abspath(os.path.join(BUILD, "tests", "fault", "libpcclock.so"))
HOUR = 3600
DAY = 24 * HOUR


class Clock:
    """Clocks that are ahead of the kernel's by so many seconds."""

    def __init__(self, wall=0, boot=0, program=PCC):
        if not os.path.exists(LIBRARY):
            raise Skip("the library for clocks is not built")
        path = os.path.join(folder(), "clock")
        with open(path, "wb") as f:
            f.write(bytes(16))
        with open(path, "r+b") as f:
            self._ahead = mmap.mmap(f.fileno(), 16)
        self.set(wall, boot)
        self.environment = {
            "LD_PRELOAD": ":".join([*sanitizers_of(program), LIBRARY]),
            "PC_CLOCK_FILE": path,
        }

    def set(self, wall=0, boot=0):
        """At any moment; a reader never sees half of a number."""
        struct.pack_into("=q", self._ahead, 8, round(boot * 10**9))
        struct.pack_into("=q", self._ahead, 0, round(wall * 10**9))
