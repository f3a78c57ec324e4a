# SPDX-License-Identifier: MIT
"""Writes delta messages from their parts, right or wrong, for make.py. Nothing here knows
what the agent's encoder does: see ../README.md, chapter "Delta"."""

import msgpack

T = 1767813011  # when the vectors were measured


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def zigzag(*numbers):
    """Signed numbers as zig-zag varints."""
    return b"".join(varint(n << 1 if n >= 0 else -n * 2 - 1) for n in numbers)


def changes(*numbers):
    """Residuals, none of them 0, as `ch` has them."""
    return b"".join(varint((n << 1 if n >= 0 else -n * 2 - 1) - 1) for n in numbers)


def bits(*ones, n):
    """A bitmap of n bits in which these are 1."""
    return sum(1 << i for i in ones).to_bytes((n + 7) // 8, "little")


def shape(code):
    return varint(len(code)) + code


def head(**keys):
    """A snapshot that begins a chain, but for what is given; None leaves a key out."""
    message = {"v": 1, "i": "h1", "ss": 1, "q": 0, "k": 0, "h": {"bt": T}, "to": b"\0", "m": []}
    if keys.get("q") or "ss" in keys and keys["ss"] is None:
        if keys.get("q"):
            message.pop("h")
        else:
            message.pop("q")
    message.update(keys)
    return {k: v for k, v in message.items() if v is not None}


def pack(message):
    """A surrogate in a str, U+DC80 to U+DCFF, is the byte 80 to ff, which is no UTF-8."""
    return msgpack.packb(message, unicode_errors="surrogateescape")


def delta(**keys):
    return pack(head(**keys))
