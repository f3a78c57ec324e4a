# SPDX-License-Identifier: MIT
"""The test vectors of proto/, and the decoder that the protocol shows as an example."""

import glob
import json
import os
import sys

from e2e import SOURCE

PROTO = os.path.join(SOURCE, "proto")
sys.path.append(os.path.join(PROTO, "examples"))
import datagram  # noqa: E402,F401  (found only now; for those who read this)
import decode_delta  # noqa: E402,F401  (likewise)


def vectors():
    for path in sorted(glob.glob(os.path.join(PROTO, "vectors", "*.json"))):
        with open(path, encoding="utf-8") as f:
            yield json.load(f)
