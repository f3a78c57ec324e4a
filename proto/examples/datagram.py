#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Seals and opens datagrams, with nothing but Python's own library. An example beside
../README.md, chapter "Datagrams", and slow: use libsodium for more than a look.

    datagram.py open --apikey-file FILE HEX      shows what a datagram holds
"""

import argparse
import hashlib
import struct
import sys

VERSION = 1
TICK, SNAPSHOT = 1, 2
PURPOSES = {TICK: b"pcc datagram key", SNAPSHOT: b"pcd datagram key"}
TAG = 16
MASK = 2**32 - 1


class Refused(ValueError):
    """What came is no datagram, or was not sealed with this key."""


# The keys.

def key_id(apikey):
    return hashlib.blake2b(digest_size=16, key=hashlib.sha256(apikey).digest(),
                           person=b"pcc datagram id ").digest()[:8]


def key(apikey, kind, session, identifier):
    return hashlib.blake2b(session + identifier, digest_size=32,
                           key=hashlib.sha256(apikey).digest(), person=PURPOSES[kind]).digest()


# XChaCha20-Poly1305: RFC 8439, and draft-irtf-cfrg-xchacha for the longer nonce.

def rounds(state):
    x = list(state)
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            for first, second, third, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8),
                                             (c, d, b, 7)):
                x[first] = x[first] + x[second] & MASK
                x[third] ^= x[first]
                x[third] = (x[third] << by | x[third] >> 32 - by) & MASK
    return x


def start(secret, rest):
    return struct.unpack("<16I", b"expand 32-byte k" + secret + rest)


def stream(secret, nonce, counter, size):
    out = b""
    while len(out) < size:
        state = start(secret, struct.pack("<I", counter) + nonce)
        out += struct.pack("<16I", *(a + b & MASK for a, b in zip(state, rounds(state))))
        counter += 1
    return out[:size]


def xor(data, with_these):
    return bytes(a ^ b for a, b in zip(data, with_these))


def pad16(data):
    return data + bytes(-len(data) % 16)


def poly1305(secret, data):
    r = int.from_bytes(secret[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at:at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(secret[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def inner(secret, nonce):
    """The key and nonce of RFC 8439 that a key and a nonce of 24 bytes stand for."""
    x = rounds(start(secret, nonce[:16]))
    return struct.pack("<8I", *x[:4], *x[12:]), bytes(4) + nonce[16:]


def tag(secret, nonce, clear, sealed):
    return poly1305(stream(secret, nonce, 0, 32), pad16(clear) + pad16(sealed) +
                    struct.pack("<QQ", len(clear), len(sealed)))


# The datagram.

def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def take_varint(data, at):
    value = shift = 0
    while True:
        if at == len(data) or shift > 63:
            raise Refused("a number that does not end")
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def seal(apikey, kind, session, number, snapshot, identifier, content):
    """session: 8 bytes, as in the Idempotency-Key but least significant first."""
    clear = (bytes([VERSION << 4 | kind]) + key_id(apikey) + session + varint(number) +
             varint(snapshot) + bytes([len(identifier)]) + identifier)
    secret, nonce = inner(key(apikey, kind, session, identifier),
                          struct.pack("<Q", number) + bytes(16))
    sealed = xor(content, stream(secret, nonce, 1, len(content)))
    return clear + sealed + tag(secret, nonce, clear, sealed)


def parse(data):
    """kind, key id, session, number, snapshot, identifier, and where the content begins."""
    if len(data) < 17:
        raise Refused("too short")
    if data[0] >> 4 != VERSION or data[0] & 15 not in PURPOSES:
        raise Refused("another version or kind")
    number, at = take_varint(data, 17)
    snapshot, at = take_varint(data, at)
    if at == len(data) or at + 1 + data[at] + TAG > len(data):
        raise Refused("too short")
    end = at + 1 + data[at]
    return data[0] & 15, data[1:9], data[9:17], number, snapshot, data[at + 1:end], end


def unseal(apikey, data):
    """What a datagram holds."""
    kind, which, session, number, _, identifier, at = parse(data)
    if which != key_id(apikey):
        raise Refused("another API key")
    secret, nonce = inner(key(apikey, kind, session, identifier),
                          struct.pack("<Q", number) + bytes(16))
    clear, sealed = data[:at], data[at:-TAG]
    if tag(secret, nonce, clear, sealed) != data[-TAG:]:
        raise Refused("it was not sealed so")
    return xor(sealed, stream(secret, nonce, 1, len(sealed)))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["open"])
    parser.add_argument("--apikey-file", required=True)
    parser.add_argument("hex")
    args = parser.parse_args()
    with open(args.apikey_file, "rb") as f:
        apikey = f.read().strip()
    data = bytes.fromhex(args.hex)
    try:
        kind, _, session, number, snapshot, identifier, _ = parse(data)
        print(f"kind {kind}, session {session[::-1].hex()}, number {number}, ss {snapshot},"
              f" identifier {identifier.decode()!r}")
        print(unseal(apikey, data).hex())
    except Refused as why:
        sys.exit(f"datagram.py: {why}")


if __name__ == "__main__":
    main()
