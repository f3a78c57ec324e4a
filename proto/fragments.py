#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes fragments.json as C: a row for each fragment (its bytes, how many they are, its
columns, the literal bytes it stands for), and for each byte where the numbers of the
fragments that begin with it lie in the list that ends the file.

    fragments.py fragments.json > fragments.inc
"""

import json
import sys

PLAIN, RIGHT, ZERO, LITERAL = range(4)


def measure(code):
    """Columns and literal bytes of a fragment, which itself names no fragment."""
    columns = literals = at = 0
    while at < len(code):
        if code[at] == PLAIN:
            columns, at = columns + 1, at + 1
        elif code[at] in (RIGHT, ZERO):
            columns, at = columns + 1, at + 2
        else:
            literals, at = literals + 1, at + (2 if code[at] == LITERAL else 1)
    return columns, literals


def escaped(code):
    return "".join(f"\\{byte:03o}" if byte < 32 or byte > 126 or byte in b'"\\?' else
                   chr(byte) for byte in code)


def main(path):
    with open(path, encoding="utf-8") as file:
        fragments = [text.encode("latin-1") for text in json.load(file)]
    print("static const struct fragment fragments[] = {")
    for code in fragments:
        columns, literals = measure(code)
        print(f'    {{"{escaped(code)}", {len(code)}, {columns}, {literals}}},')
    print("};\n\n/* Those that begin with byte b: by_first[first_at[b]] to "
          "by_first[first_at[b + 1] - 1]. */")
    order = sorted(range(len(fragments)), key=lambda i: (fragments[i][0], i))
    starts = [sum(fragments[i][0] < byte for i in order) for byte in range(257)]
    print("static const uint8_t first_at[] = {" + ", ".join(map(str, starts)) + "};")
    print("static const uint8_t by_first[] = {" + ", ".join(map(str, order)) + "};")


if __name__ == "__main__":
    main(sys.argv[1])
