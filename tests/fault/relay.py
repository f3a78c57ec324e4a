# SPDX-License-Identifier: MIT
"""A network between agents and a server that can be cut: a Relay listens on loopback, hands
every byte on, and does to its connections what a test asks for.

    network = Network()
    relay = network.relay(port of the server)
    Pcc(relay.url, ...)
    relay.suffer("stall")
    relay.suffer(None)              all is well again

What a relay can suffer, at once and as long as it lasts; n makes it come later:

    drop         every connection is reset, and no new one lives
    stall        nothing moves, either way; all of it arrives in the end
    mute         requests get through, but no answer does until it is over
    cut-request  a connection is reset when it has carried n more bytes of requests
    cut-answer   a connection is reset instead of the answer that comes after n others: the
                 server has done what it was asked for
    tear-answer  likewise, but a part of the answer gets through
"""

import asyncio
import socket
import struct
import threading

FAULTS = ("drop", "stall", "mute", "cut-request", "cut-answer", "tear-answer")
PIECE = 1 << 16
# Closing then sends a reset instead of what is left.
NO_LINGER = struct.pack("ii", 1, 0)


class _Pair:
    """A connection of a client, and the one to the server that belongs to it."""

    def __init__(self, relay, client):
        self.relay = relay
        self.writers = [client]
        self.is_new = True  # it has not lived to see the present fault begin
        self.requested = 0  # bytes, and
        self.answers = 0  # pieces, since then

    def reset(self):
        for writer in self.writers:
            if writer.transport.is_closing():
                continue
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            writer.transport.abort()

    async def carry_requests(self, reader, writer):
        while piece := await reader.read(PIECE):
            self.relay.carried[0] += len(piece)
            await self.relay.requests_flow.wait()
            if self.relay.fault == "cut-request":
                left = self.relay.n - self.requested
                if left < len(piece):
                    writer.write(piece[:max(left, 0)])
                    await writer.drain()
                    return self.reset()
                self.requested += len(piece)
            writer.write(piece)
            await writer.drain()
        return writer.write_eof()

    async def carry_answers(self, reader, writer):
        while piece := await reader.read(PIECE):
            self.relay.carried[1] += len(piece)
            await self.relay.answers_flow.wait()
            if self.relay.fault in ("cut-answer", "tear-answer"):
                # A connection begins with a ping, whose answer is the first.
                if self.answers >= self.relay.n + self.is_new:
                    if self.relay.fault == "tear-answer":
                        writer.write(piece[:len(piece) // 2])
                        await writer.drain()
                    return self.reset()
                self.answers += 1
            writer.write(piece)
            await writer.drain()
        return writer.write_eof()


class Relay:
    """One way through the network, always at the same address."""

    def __init__(self, network, target_port):
        self.network = network
        self.target_port = target_port
        self.fault, self.n = None, 0
        self.pairs = set()
        self.carried = [0, 0]  # bytes of requests and of answers, in all
        self.requests_flow, self.answers_flow = asyncio.Event(), asyncio.Event()
        self.url = None

    async def open(self):
        self._set(None, 0)
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = "http://127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    def suffer(self, fault, n=0):
        """Any thread. Another fault, or None, takes the place of the one before."""
        assert fault is None or fault in FAULTS, fault
        self.network.loop.call_soon_threadsafe(self._set, fault, n)

    def _set(self, fault, n):
        self.fault, self.n = fault, n
        for event, stalls in ((self.requests_flow, ("stall",)),
                              (self.answers_flow, ("stall", "mute"))):
            if fault in stalls:
                event.clear()
            else:
                event.set()
        for pair in self.pairs:
            pair.is_new, pair.requested, pair.answers = False, 0, 0
            if fault == "drop":
                pair.reset()

    async def _serve(self, reader, writer):
        pair = _Pair(self, writer)
        self.pairs.add(pair)
        try:
            if self.fault == "drop":
                return pair.reset()
            server_reader, server_writer = await asyncio.open_connection(
                "127.0.0.1", self.target_port)
            pair.writers.append(server_writer)
            await asyncio.gather(pair.carry_requests(reader, server_writer),
                                 pair.carry_answers(server_reader, writer))
        except OSError:
            pass  # the server isn't there, or one side has reset the connection
        finally:
            self.pairs.discard(pair)
            pair.reset()


class Network:
    """All relays, served by one thread."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def relay(self, target_port):
        return asyncio.run_coroutine_threadsafe(self._relay(target_port), self.loop).result(30)

    async def _relay(self, target_port):
        relay = Relay(self, target_port)
        await relay.open()
        return relay
