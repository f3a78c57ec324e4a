#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The schemas of proto/schema/ say yes to what the protocol allows, and no to what breaks
a rule that a schema can see."""

import base64
import copy
import json
import os
import re
import sys

import msgpack
from delta_writer import TYPE as DELTA
from delta_writer import Writer
from e2e import SOURCE, run
from jsonschema import Draft202012Validator, RefResolver

PROTO = os.path.join(SOURCE, "proto")
FOLDER = os.path.join(PROTO, "schema")
NAMES = sorted(name.removesuffix(".json") for name in os.listdir(FOLDER))
T = 1767813011
LEFT_OUT = object()


def read(name):
    with open(os.path.join(FOLDER, name + ".json"), encoding="utf-8") as f:
        return json.load(f)


SCHEMAS = {name: read(name) for name in NAMES}
STORE = {schema["$id"]: schema for schema in SCHEMAS.values()}


def not_here(uri):
    raise AssertionError(f"a schema that is not in {FOLDER}: {uri}")


def validator(name):
    schema = SCHEMAS[name]
    # Whatever isn't in the folder is looked for nowhere else.
    resolver = RefResolver(schema["$id"], schema, store=STORE,
                           handlers=dict.fromkeys(("https", "http"), not_here))
    return Draft202012Validator(schema, resolver=resolver)


def changed(document, **members):
    """A copy with members set, or left out."""
    document = {**copy.deepcopy(document), **members}
    return {k: v for k, v in document.items() if v is not LEFT_OUT}


def without(document):
    """What each required member is missing from, by its name."""
    return {f"no {name}": changed(document, **{name: LEFT_OUT}) for name in document}


def b64(*numbers):
    return base64.b64encode(bytes(numbers)).decode()


def as_json(o):
    """A decoded MessagePack with each bin as base64."""
    if isinstance(o, bytes):
        return base64.b64encode(o).decode()
    if isinstance(o, dict):
        return {k: as_json(v) for k, v in o.items()}
    return [as_json(v) for v in o] if isinstance(o, list) else o


LINE = {"timestamp": T, "subsystem": "/proc/stat", "measurement": "cpu 1\n"}
REQUEST = {"identifier": "web-01", "measurements": [LINE, LINE]}
PING = {"timestamp": T}
PONG = {"origintimestamp": T, "timestamp": T + 1}
GAP = {"kind": "missed", "from": T + 0.25, "to": T + 4, "ticks": 3, "measurements": 12,
       "reason": "the agent did not run when the ticks were due"}
ALONE = {"v": 1, "i": "web-01", "k": 0, "h": {"bt": T}, "to": b64(0), "m": [[0, 1]],
         "sh": b64(1, 0), "bv": b64(2)}
SNAPSHOT = changed(ALONE, ss=1, q=0)
NEXT = {"v": 1, "i": "web-01", "ss": 1, "q": 1, "k": 1, "to": b64(2), "m": [0],
        "cb": b64(0)}

GOOD = {
    "collection-line": {
        "the least": LINE,
        "a fraction of a second": changed(LINE, nanoseconds=999999999),
        "no fraction, said": changed(LINE, nanoseconds=0),
        "the first second": changed(LINE, timestamp=946684800),
        "the last second": changed(LINE, timestamp=7289654399),
        "no text": changed(LINE, measurement=""),
        "text that is not UTF-8": changed(LINE, measurement="\ufffd", bytes="/w=="),
        "bytes of each padding": changed(LINE, bytes="AAAAAAA="),
        "no bytes": changed(LINE, bytes=""),
        "a member nobody knows": changed(LINE, later={"a": [None]}),
    },
    "trickle-request": {
        "the usual": REQUEST,
        "a batch of nothing": changed(REQUEST, measurements=[]),
        "a nil slice of Go": changed(REQUEST, measurements=None),
        "an identifier of one byte": changed(REQUEST, identifier="x"),
        "an identifier as long as may be": changed(REQUEST, identifier="x" * 128),
        "an identifier of any writing": changed(REQUEST, identifier="mäßig/ 日本 \u00a0"),
        "members nobody knows": changed(REQUEST, later=1,
                                        measurements=[changed(LINE, later=1)]),
    },
    "trickle-response": {
        "all is well": {"error": None},
        "an error": {"error": "snapshot required"},
        "a member nobody knows": {"error": None, "later": 1},
    },
    "ping": {
        "the usual": PING,
        "before 1970": {"timestamp": -1},
        "the least": {"timestamp": -2**63},
        "the most": {"timestamp": 2**63 - 1},
        "a member nobody knows": changed(PING, later=1),
    },
    "pong": {
        "the usual": PONG,
        "any origin": changed(PONG, origintimestamp=2**63 - 1),
        "a member nobody knows": changed(PONG, later=1),
    },
    "gap": {
        "a fraction of a second": GAP,
        "whole seconds": changed(GAP, **{"from": T}),
        "nothing counted": changed(GAP, ticks=0, measurements=0),
        "the most": changed(GAP, ticks=2**64 - 1),
        "a kind nobody knows": changed(GAP, kind="later"),
        "a member nobody knows": changed(GAP, later=1),
    },
    "delta-request": {
        "alone": ALONE,
        "a snapshot": SNAPSHOT,
        "the next": NEXT,
        "nothing": changed(ALONE, m=[], to="", sh=LEFT_OUT, bv=LEFT_OUT),
        "in nanoseconds": changed(NEXT, to=LEFT_OUT, tn=b64(2)),
        "empty streams said": changed(NEXT, sh="", bv="", pr="", ch="", rw="", o=""),
        "a name": changed(ALONE, m=[["/proc/uptime", 1]]),
        "a name alone": changed(NEXT, m=["/proc/uptime"]),
        "predictors": changed(NEXT, m=[[0, 2]], pr=b64(0)),
        "a shape and predictors": changed(SNAPSHOT, m=[[0, 3]], pr=b64(0)),
        "raw texts": changed(NEXT, m=[0, [1, 4]], rw=b64(1, 97)),
        "ticks": changed(NEXT, m=[0, [1, 0, b64(1)]]),
        "ticks, and an empty order": changed(NEXT, m=[[0, 0, b64(1)]], o=""),
        "an order": changed(NEXT, m=[0, [1, 0]], o=b64(2, 1, 0)),
        "the largest numbers": changed(NEXT, ss=2**64 - 1, q=2**64 - 1, k=2**64 - 1),
        "the last subsystem": changed(NEXT, m=[1023]),
        "a key nobody knows": changed(NEXT, later=1, h2={}),
        "a member nobody knows": changed(ALONE, h={"bt": T, "later": 1}),
    },
}

NO_OBJECT = {"an array": [], "null": None, "a text": "{}", "a number": 1}

BAD = {
    "collection-line": {
        **NO_OBJECT, **without(LINE),
        "a second too early": changed(LINE, timestamp=946684799),
        "a second too late": changed(LINE, timestamp=7289654400),
        "milliseconds": changed(LINE, timestamp=T * 1000),
        "a fraction": changed(LINE, timestamp=T + 0.5),
        "a time in quotes": changed(LINE, timestamp=str(T)),
        "a whole second of nanoseconds": changed(LINE, nanoseconds=10**9),
        "nanoseconds below 0": changed(LINE, nanoseconds=-1),
        "null nanoseconds": changed(LINE, nanoseconds=None),
        "a number for a subsystem": changed(LINE, subsystem=7),
        "null for a text": changed(LINE, measurement=None),
        "an object for a text": changed(LINE, measurement={}),
        "no base64": changed(LINE, bytes="*"),
        "base64 without padding": changed(LINE, bytes="/w"),
        "base64 of URLs": changed(LINE, bytes="_w=="),
        "base64 with a blank": changed(LINE, bytes="AAAA AAA"),
        "null bytes": changed(LINE, bytes=None),
    },
    "trickle-request": {
        **NO_OBJECT, **without(REQUEST),
        "an empty identifier": changed(REQUEST, identifier=""),
        "an identifier that is too long": changed(REQUEST, identifier="x" * 129),
        "a null identifier": changed(REQUEST, identifier=None),
        "a number for an identifier": changed(REQUEST, identifier=7),
        **{f"an identifier with {ord(c):#x}": changed(REQUEST, identifier="a" + c)
           for c in "\x00\n\x1b\x1f\x7f\x80\x9f"},
        "an object for measurements": changed(REQUEST, measurements={}),
        "a measurement that is none": changed(REQUEST, measurements=[LINE, None]),
        "a bad measurement": changed(REQUEST, measurements=[
            LINE, changed(LINE, timestamp=0)]),
        "Go names": changed(REQUEST, measurements=[
            {k.capitalize(): v for k, v in LINE.items()}]),
    },
    "trickle-response": {
        **NO_OBJECT,
        "no error": {},
        "MessagePack's name": {"e": None},
        "true": {"error": True},
        "an object": {"error": {}},
    },
    "ping": {
        **NO_OBJECT, **without(PING),
        "a text": {"timestamp": str(T)},
        "a fraction": {"timestamp": T + 0.5},
        "too large": {"timestamp": 2**63},
        "too small": {"timestamp": -2**63 - 1},
    },
    "pong": {
        **NO_OBJECT, **without(PONG),
        "null": changed(PONG, origintimestamp=None),
        "a fraction": changed(PONG, timestamp=T + 0.5),
        "too large": changed(PONG, timestamp=2**63),
        "too small": changed(PONG, timestamp=-2**63 - 1),
        "too large an origin": changed(PONG, origintimestamp=2**63),
        "too small an origin": changed(PONG, origintimestamp=-2**63 - 1),
    },
    "gap": {
        **NO_OBJECT, **without(GAP),
        "an empty kind": changed(GAP, kind=""),
        "a sentence for a kind": changed(GAP, kind="was busy"),
        "a time in quotes": changed(GAP, to=str(T)),
        "null for a time": changed(GAP, **{"from": None}),
        "a time before 1970": changed(GAP, **{"from": -1}),
        "an end before 1970": changed(GAP, to=-1),
        "a number for a kind": changed(GAP, kind=1),
        "half a tick": changed(GAP, ticks=0.5),
        "ticks below 0": changed(GAP, ticks=-1),
        "more ticks than fit": changed(GAP, ticks=2**64),
        "half a measurement": changed(GAP, measurements=0.5),
        "measurements below 0": changed(GAP, measurements=-1),
        "more measurements than fit": changed(GAP, measurements=2**64),
        "no reason": changed(GAP, reason=None),
    },
    "delta-request": {
        **NO_OBJECT, **without(SNAPSHOT),
        "no h where it stands alone": changed(ALONE, h=LEFT_OUT),
        "another version": changed(ALONE, v=2),
        "a bad identifier": changed(ALONE, i="a\nb"),
        "ss without q": changed(ALONE, ss=1),
        "q without ss": changed(ALONE, q=0),
        "ss below 0": changed(NEXT, ss=-1),
        "q of more than 64 bits": changed(NEXT, q=2**64),
        "k in quotes": changed(NEXT, k="0"),
        "h in a batch that builds on another": changed(NEXT, h={"bt": T}),
        "h without bt": changed(ALONE, h={}),
        "a fraction for bt": changed(ALONE, h={"bt": T + 0.5}),
        "both to and tn": changed(NEXT, tn=b64(2)),
        "neither to nor tn": changed(NEXT, to=LEFT_OUT),
        **{f"a number for {name}": changed(NEXT, **{name: 2})
           for name in ("to", "o", "sh", "bv", "pr", "cb", "ch", "rw")},
        "a number for tn": changed(NEXT, to=LEFT_OUT, tn=2),
        "no base64 for a bin": changed(NEXT, cb="*"),
        "an object for m": changed(NEXT, m={}),
        "null for a group": changed(NEXT, m=[None]),
        "a group of one": changed(NEXT, m=[[0]]),
        "a group of four": changed(NEXT, m=[[0, 0, b64(1), 0]]),
        "a subsystem below 0": changed(NEXT, m=[-1]),
        "flags of a subsystem below 0": changed(NEXT, m=[[-1, 0]]),
        "a number for h": changed(ALONE, h=T),
        "a subsystem too many": changed(NEXT, m=[1024]),
        "a shape for raw texts": changed(NEXT, m=[[0, 5]], sh=b64(0), rw=b64(0)),
        "flags that there are not": changed(NEXT, m=[[0, 8]]),
        "flags below 0": changed(NEXT, m=[[0, -1]]),
        "empty ticks": changed(NEXT, m=[[0, 0, ""]]),
        "a number for ticks": changed(NEXT, m=[[0, 0, 1]]),
        "ticks where the order says them": changed(NEXT, m=[[0, 0, b64(1)]], o=b64(1, 0)),
        "a new shape, but none there": changed(NEXT, m=[[0, 1]]),
        "a shape for nobody": changed(NEXT, sh=b64(0)),
        "base values for nobody": changed(NEXT, bv=b64(0)),
        "new predictors, but none there": changed(NEXT, m=[[0, 2]]),
        "predictors for nobody": changed(NEXT, pr=b64(0)),
        "raw texts, but none there": changed(NEXT, m=[[0, 4]]),
        "a new shape, but an empty stream": changed(NEXT, m=[[0, 1]], sh=""),
        "new predictors, but an empty stream": changed(NEXT, m=[[0, 2]], pr=""),
        "raw texts, but an empty stream": changed(NEXT, m=[[0, 4]], rw=""),
        "raw texts for nobody": changed(NEXT, rw=b64(0)),
    },
}
del BAD["delta-request"]["no bv"]  # of a shape without columns there are none


def test_each_schema_is_one_and_says_what_it_is():
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema", name
        assert schema["$id"].endswith(f"/schema/{name}.json"), schema["$id"]
        assert schema["title"] and schema["description"] and schema["examples"], name
    assert len(STORE) == len(SCHEMAS)


def test_each_schema_is_in_both_tables():
    assert NAMES == sorted(GOOD) == sorted(BAD), NAMES


def test_each_member_is_described():
    for name, schema in SCHEMAS.items():
        for member, about in schema["properties"].items():
            assert about.get("description"), (name, member)


def test_the_examples_match():
    for name, schema in SCHEMAS.items():
        for example in schema["examples"]:
            validator(name).validate(example)


def test_good_documents_match():
    for name, documents in GOOD.items():
        for title, document in documents.items():
            errors = [e.message for e in validator(name).iter_errors(document)]
            assert not errors, (name, title, errors)


def test_bad_documents_do_not():
    for name, documents in BAD.items():
        for title, document in documents.items():
            assert not validator(name).is_valid(document), (name, title, document)


def test_delta_messages_match_once_they_are_decoded():
    writer = Writer("web-01", {"/proc/stat": b"cpu  \0 \0\n",
                               "/proc/meminfo": b"MemFree: \0 kB\n"})
    ticks = [(T + at, [at, at * at], [at * 7]) for at in range(6)]
    for message in (writer.snapshot(ticks[:3]), writer.next(ticks[3:5]), writer.alone(ticks[5:])):
        validator("delta-request").validate(as_json(msgpack.unpackb(message)))


def test_what_the_vectors_have_stored_matches():
    schemas = {"application/json": ("trickle-request", json.loads),
               DELTA: ("delta-request", lambda body: as_json(msgpack.unpackb(body)))}
    matched = 0
    folder = os.path.join(PROTO, "vectors")
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".json"):
            continue
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            vector = json.load(f)
        if vector["expect"]["status"] != 200 or "content_encoding" in vector:
            continue
        if vector.get("content_type") not in schemas:
            continue
        schema, decode = schemas[vector["content_type"]]
        for body in (*vector["before"], vector["body"]):
            errors = list(validator(schema).iter_errors(decode(bytes.fromhex(body))))
            assert not errors, (name, errors)
            matched += 1
    assert matched > 0


# Those that a server may be told otherwise are in no schema.
def test_the_limits_are_those_of_the_code():
    with open(os.path.join(PROTO, "limits.h"), encoding="utf-8") as f:
        limits = dict(re.findall(r"#define LIMIT_(\w+) (?:UINT64_C\()?(\d+)u?\)?(?!\S)",
                                 f.read()))
    line = SCHEMAS["collection-line"]["properties"]
    request = SCHEMAS["trickle-request"]["properties"]
    subsystem = SCHEMAS["delta-request"]["$defs"]["subsystem"]["oneOf"]
    for name, value in (("TIMESTAMP_MIN", line["timestamp"]["minimum"]),
                        ("TIMESTAMP_MAX", line["timestamp"]["maximum"]),
                        ("DELTA_SUBSYSTEMS", subsystem[0]["maximum"] + 1),
                        ("IDENTIFIER_BYTES", request["identifier"]["maxLength"])):
        assert int(limits[name]) == value, (name, limits[name], value)


def test_openapi_has_every_name_that_travels_in_a_head():
    with open(os.path.join(PROTO, "wire.h"), encoding="utf-8") as f:
        heads = f.read().split("TrickleRequest:")[0]
    names = dict(re.findall(r'#define WIRE_(\w+) "([^"]+)"', heads))
    with open(os.path.join(PROTO, "openapi.yaml"), encoding="utf-8") as f:
        text = f.read()
    # OpenAPI has places of its own for them, or doesn't speak of them.
    for name in ("HOST", "CONTENT_TYPE", "CONTENT_LENGTH", "TRANSFER_ENCODING", "CHUNKED",
                 "CONNECTION"):
        del names[name]
    missing = [value for value in names.values() if value.strip() not in text]
    assert names["TRICKLE"] and not missing, missing


def test_the_members_of_a_gap_are_those_of_the_code():
    with open(os.path.join(PROTO, "wire.h"), encoding="utf-8") as f:
        names = re.findall(r'#define WIRE_GAP_\w+ "([^"]+)"', f.read())
    assert names == SCHEMAS["gap"]["required"], names
    assert set(names) == set(SCHEMAS["gap"]["properties"]), names


def test_the_reference_has_every_name_that_travels():
    with open(os.path.join(PROTO, "wire.h"), encoding="utf-8") as f:
        names = dict(re.findall(r'#define WIRE_(\w+) "([^"]+)"', f.read()))
    with open(os.path.join(PROTO, "README.md"), encoding="utf-8") as f:
        text = f.read()
    # No client of ours looks at them.
    for name in ("WWW_AUTHENTICATE", "CONNECTION", "TYPE_TEXT", "TYPE_PROMETHEUS"):
        del names[name]
    missing = [name for name in names.values() if not re.search(
        r"(?<![\w-])" + re.escape(name.strip()) + r"(?![\w-])", text)]
    assert len(names) > 60 and not missing, missing


if __name__ == "__main__":
    run(sys.modules[__name__])
