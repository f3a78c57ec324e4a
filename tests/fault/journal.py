# SPDX-License-Identifier: MIT
"""What a disk may hold after a power cut, from the journal that the shim kept.

The model is what POSIX promises, and nothing that some filesystem does beside that:

- Bytes that a file was synced with are there. Of each later write any part may be: each
  page or each sector of it for itself, or none, in any order; where a file grew, what was
  not written may read as zeros or as anything.
- A name is there, or gone, once its folder was synced after the change. Of later changes of
  names any may have happened and any may not, whatever their order; a rename is one change.
- A file's sync says nothing of its name.
- After a failed sync nobody knows what became of the bytes, and no later sync says more.

    disk = Disk(base)               what was there before: a folder, or nothing
    for record in read(path)[:n]:
        disk.apply(record)
    disk.write(folder, random.Random(seed))
"""

import os
import random
import struct
from collections import namedtuple

HEAD = struct.Struct("=QIIIIQQ")
(CREATE, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, SYNC_FAILED, RENAME, UNLINK, LINK,
 MKDIR) = range(1, 11)

SECTOR = 512
PAGE = 4096

Record = namedtuple("Record", "when_ns type path other offset data")


def read(path):
    """All whole records of a journal, in order."""
    records = []
    with open(path, "rb") as f:
        text = f.read()
    at = 0
    while at + HEAD.size <= len(text):
        when, kind, path_n, other_n, _, offset, n = HEAD.unpack_from(text, at)
        at += HEAD.size
        if at + path_n + other_n + n > len(text):
            break
        name, other = text[at:at + path_n], text[at + path_n:at + path_n + other_n]
        at += path_n + other_n
        records.append(Record(when, kind, os.fsdecode(name), os.fsdecode(other), offset,
                              text[at:at + n]))
        at += n
    return records


def moments(records, wanted, tells, choices):
    """The numbers of records before which the power is to go, in order: @wanted of them, half
    right before or after those that @tells says of that they matter, a quarter beside where a
    sync begins or ends, as far as there are so many. "all": each of those two, and as many
    others."""
    def beside(is_one):
        return sorted({i + after for i, r in enumerate(records) if is_one(r) for after in (0, 1)})

    def some(numbers, n):
        return choices.sample(numbers, min(n, len(numbers)))

    telling = beside(tells)
    syncs = beside(lambda r: r.type in (SYNC_BEGIN, SYNC_END, SYNC_FAILED))
    if wanted == "all":
        chosen = {*telling, *syncs}
        n = 2 * len(chosen)
    else:
        n = int(wanted)
        chosen = {*some(telling, n // 2), *some(syncs, n // 4)}
    others = [i for i in range(len(records) + 1) if i not in chosen]
    return sorted([*chosen, *some(others, n - len(chosen))])


class File:
    """A file, whatever names it has."""

    def __init__(self, content=b""):
        self.durable = bytearray(content)
        self.pending = []  # ("write", offset, bytes) or ("size", n), not yet synced
        self.syncs = []  # length of pending when each sync that goes on began

    def size(self):
        """As a program sees it."""
        size = len(self.durable)
        for kind, offset, data in self.pending:
            size = offset if kind == "size" else max(size, offset + len(data))
        return size


class Folder:
    def __init__(self):
        self.durable = {}  # name: File or Folder
        self.live = {}
        self.pending = []  # lists of (name, File, Folder or None), each one change
        self.syncs = []


def _write(content, offset, data):
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset:offset + len(data)] = data


def _settle(content, change):
    """A change happened."""
    kind, offset, data = change
    if kind == "write":
        _write(content, offset, data)
    elif len(content) > offset:
        del content[offset:]
    else:
        content.extend(bytes(offset - len(content)))


def _settle_in_part(content, change, choices):
    """A change was on its way when the power went."""
    kind, offset, data = change
    how = choices.choice(("none", "none", "all", "pages", "sectors"))
    if how == "none":
        return
    if kind == "size" or how == "all":
        _settle(content, change)
        return
    unit = PAGE if how == "pages" else SECTOR
    share = choices.random()
    old_size = len(content)
    at = offset
    while at < offset + len(data):
        end = min((at // unit + 1) * unit, offset + len(data))
        if choices.random() < share:
            _write(content, at, data[at - offset:end - offset])
        elif at >= old_size and choices.random() < 0.5:
            # The file grew over what stood on the disk there.
            _write(content, at, choices.choice((bytes(end - at), choices.randbytes(end - at))))
        at = end


class Disk:
    def __init__(self, base=None):
        self.root = Folder()
        if base:
            self._load(self.root, base)

    def _load(self, folder, path):
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                node = Folder()
                self._load(node, entry.path)
            else:
                with open(entry.path, "rb") as f:
                    node = File(f.read())
            folder.durable[entry.name] = folder.live[entry.name] = node

    def _folder(self, path):
        """The folder that holds a path, and the name in it."""
        *above, name = path.split("/")
        folder = self.root
        for part in above:
            folder = folder.live[part]
        return folder, name

    def _node(self, path):
        if path == ".":
            return self.root
        folder, name = self._folder(path)
        return folder.live.get(name)

    def _change(self, folder, *entries):
        folder.pending.append(list(entries))
        for name, node in entries:
            if node is None:
                folder.live.pop(name, None)
            else:
                folder.live[name] = node

    def _name(self, path, node):
        folder, name = self._folder(path)
        self._change(folder, (name, node))

    def _rename(self, path, other):
        node = self._node(path)
        folder, name = self._folder(path)
        other_folder, other_name = self._folder(other)
        if folder is other_folder:
            self._change(folder, (name, None), (other_name, node))
        else:  # each folder is synced for itself
            self._change(other_folder, (other_name, node))
            self._change(folder, (name, None))

    def _end_sync(self, node):
        n = node.syncs.pop(0)
        if isinstance(node, Folder):
            for entries in node.pending[:n]:
                for name, child in entries:
                    if child is None:
                        node.durable.pop(name, None)
                    else:
                        node.durable[name] = child
        else:
            for change in node.pending[:n]:
                _settle(node.durable, change)
        del node.pending[:n]
        node.syncs = [max(0, begun - n) for begun in node.syncs]

    def _fail_sync(self, node, choices):
        n = node.syncs.pop(0)
        if isinstance(node, Folder):
            return
        for change in node.pending[:n]:
            _settle_in_part(node.durable, change, choices)
        del node.pending[:n]
        node.syncs = [max(0, begun - n) for begun in node.syncs]

    def apply(self, record, choices=random):
        """Something happened to the disk."""
        kind, path = record.type, record.path
        if kind == CREATE:
            self._name(path, File())
        elif kind == MKDIR:
            self._name(path, Folder())
        elif kind == UNLINK:
            self._name(path, None)
        elif kind == LINK:
            self._name(record.other, self._node(path))
        elif kind == RENAME:
            self._rename(path, record.other)
        elif kind == WRITE:
            self._node(path).pending.append(("write", record.offset, record.data))
        elif kind == TRUNCATE:
            self._node(path).pending.append(("size", record.offset, b""))
        else:
            self._sync(kind, self._node(path), choices)

    def process_ended(self):
        """The syncs that went on have no end in the journal; what was written stays."""
        todo = [self.root]
        while todo:
            node = todo.pop()
            node.syncs = []
            if isinstance(node, Folder):
                todo += [*node.live.values(), *node.durable.values()]

    def _sync(self, kind, node, choices):
        if node is None:
            return  # it has no name any more
        if kind == SYNC_BEGIN:
            node.syncs.append(len(node.pending))
        elif node.syncs and kind == SYNC_END:
            self._end_sync(node)
        elif node.syncs:
            self._fail_sync(node, choices)

    def write(self, path, choices, lose_all=False):
        """Makes a folder of what is there after a power cut now. lose_all: the worst that
        may happen to what was not synced, without chance."""
        self._write_folder(self.root, path, choices, lose_all)

    def _write_folder(self, folder, path, choices, lose_all):
        entries = dict(folder.durable)
        for change in folder.pending:
            if lose_all or choices.random() < 0.5:
                continue
            for name, node in change:
                if node is None:
                    entries.pop(name, None)
                else:
                    entries[name] = node
        os.makedirs(path, mode=0o700, exist_ok=True)
        for name, node in entries.items():
            if isinstance(node, Folder):
                self._write_folder(node, os.path.join(path, name), choices, lose_all)
            else:
                self._write_file(node, os.path.join(path, name), choices, lose_all)

    @staticmethod
    def _write_file(node, path, choices, lose_all):
        content = bytearray(node.durable)
        for change in () if lose_all else node.pending:
            _settle_in_part(content, change, choices)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(content)
