"""One watch: what it still has to send, when bookmarks are due, and how faults disturb it."""
import asyncio
import collections
import random
import socket
import struct
import time

import resources
from store import encode


class Watch:
    def __init__(self, api, request, res, table, selector, bookmarks, timeout):
        self.api = api
        self.request = request
        self.res = res
        self.table = table
        self.selector = selector
        self.bookmarks = bookmarks
        self.pending = collections.deque()
        self.wake = asyncio.Event()
        self.mute = False          # after half a line: silent for ever
        self.ended = False         # nothing follows what is pending
        self.sent = 0              # events sent, for GET /_standin/watches
        self.writer = None
        start = time.monotonic()
        # without timeoutSeconds the server picks between one and two times its minimum of 30 minutes
        self.deadline = start + (timeout or random.uniform(1800, 3600))
        self.next_bookmark = start + api.settings["bookmark_interval"]
        self.last_bookmark = self.deadline - 2 if self.deadline - 2 > start else None

    # --- filling -----------------------------------------------------------------------------------------------

    def start_with_state(self, marked):
        for key in sorted(self.table.objects):
            if self.selector.matches(self.table.objects[key]):
                self.push("ADDED", self.table.objects[key])
        if marked and self.bookmarks:
            self.pending.append(resources.bookmark(self.res, self.api.store.rv, True))
        self.table.watchers.add(self)

    def start_from(self, version):
        for event in self.table.history:
            if event.rv > version:
                self.offer(event)
        self.table.watchers.add(self)

    def end_with(self, status):
        if status is not None:
            self.pending.append(encode({"type": "ERROR", "object": status}))
        self.ended = True
        self.wake.set()

    def offer(self, event):
        """Queue an event as this selector sees it: objects enter and leave a selection as ADDED and DELETED."""
        before = self.selector.matches(event.old)
        after = event.type != "DELETED" and self.selector.matches(event.new)
        if after:
            self.push("MODIFIED" if before else "ADDED", event.new)
        elif before and event.type == "DELETED":
            self.push("DELETED", event.new)
        elif before:
            # left the selection: the previous content under the version of the event
            self.pending.append(self.left(event))
            self.wake.set()

    def push(self, kind, stored):
        self.pending.append(b'{"type":"' + kind.encode() + b'","object":' + resources.render(self.res, stored) + b"}")
        self.wake.set()

    def left(self, event):
        data = event.old.copy()
        data["metadata"]["resourceVersion"] = str(event.rv)
        return encode({"type": "DELETED", "object": resources.shown(self.res, data)})

    def push_bookmark(self):
        self.pending.append(resources.bookmark(self.res, self.api.store.rv))
        self.wake.set()

    # --- sending -----------------------------------------------------------------------------------------------

    async def run(self, reader, writer):
        """Send until the deadline, the end of the stream, or the client's departure."""
        self.writer = writer
        gone = asyncio.ensure_future(reader.read(1))
        gone.add_done_callback(lambda _: self.wake.set())
        try:
            while not gone.done():
                self.wake.clear()
                stalled = self.mute or self.api.faults.active("stall", self.request)
                if not stalled:
                    self.due_bookmarks()
                    await self.drain_pending()
                    if (self.ended or time.monotonic() >= self.deadline) and not self.mute:
                        writer.write(b"0\r\n\r\n")
                        return True
                await self.sleep(stalled or self.mute)
            return False
        finally:
            gone.cancel()
            # the connection may carry the next request, so its reader must really be free again
            await asyncio.gather(gone, return_exceptions=True)
            self.table.watchers.discard(self)

    def due_bookmarks(self):
        moment = time.monotonic()
        if not self.bookmarks:
            return
        if moment >= self.next_bookmark:
            self.push_bookmark()
            self.next_bookmark = moment + self.api.settings["bookmark_interval"]
        if self.last_bookmark is not None and moment >= self.last_bookmark:
            self.push_bookmark()
            self.last_bookmark = None

    async def drain_pending(self):
        faults = self.api.faults
        garbage = faults.take("garbage", self.request)
        if garbage:
            self.write_chunk(garbage.spec.get("body", "<html>502 Bad Gateway").encode() + b"\n")
        error = faults.take("stream-error", self.request)
        if error:
            self.pending.clear()
            self.end_with(error.status())
        while self.pending:
            line = self.pending.popleft()
            if faults.take("half-line", self.request):
                self.write_chunk(line[:len(line) // 2])
                self.mute = True
                break
            self.write_chunk(line + b"\n")
            self.sent += 1
        await self.writer.drain()

    def write_chunk(self, data):
        self.writer.write(b"%x\r\n" % len(data) + data + b"\r\n")

    async def sleep(self, silent):
        """Until something is queued or due; a silent watch wakes only for faults and the client's departure."""
        due = [] if silent else [self.deadline]
        if self.bookmarks and not silent:
            due.append(self.next_bookmark)
            if self.last_bookmark is not None:
                due.append(self.last_bookmark)
        wait = max(0, min(due) - time.monotonic()) if due else None
        if not self.wake.is_set():
            try:
                await asyncio.wait_for(self.wake.wait(), wait)
            except asyncio.TimeoutError:
                pass

    # --- faults ------------------------------------------------------------------------------------------------

    def cut(self, how):
        """End the connection from outside: rst (reset), fin (closed in mid-stream), eof (clean end)."""
        if how == "eof":
            self.end_with(None)
            return
        if how == "rst":
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.wake.set()
