"""Objects, the one resourceVersion counter, and the history that watches and paging live on.

Everything runs in one asyncio thread, so no locks: a write is visible to lists and queued to every watch before the
next request is looked at, which is stricter than etcd but never observable as wrong.
"""
import collections
import json


def encode(obj):
    text = json.dumps(obj, separators=(",", ":"), ensure_ascii=False)
    # Go's encoder escapes these three inside strings, and outside of strings JSON has none of them
    for char, escape in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        if char in text:
            text = text.replace(char, escape)
    return text.encode()


class Stored:
    """One version of one object. Never modified once stored, so history can share it."""

    __slots__ = ("data", "rv", "namespace", "name", "forms")

    def __init__(self, data, rv):
        self.data = data
        self.rv = rv
        self.namespace = data["metadata"].get("namespace", "")
        self.name = data["metadata"]["name"]
        self.forms = {}  # rendered bytes per view, filled by resources.render: lists of 1,000 stay fast

    @property
    def key(self):
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def copy(self):
        return json.loads(json.dumps(self.data))


Event = collections.namedtuple("Event", "rv type new old")  # new: the version to show; old: the one before or None


class Table:
    """All objects of one resource (shared by its API versions)."""

    def __init__(self, floor):
        self.objects = {}
        self.history = collections.deque()
        self.floor = floor  # watches and page snapshots reach back to this resourceVersion, not further
        self.watchers = set()

    def record(self, event, window):
        self.history.append(event)
        while len(self.history) > window:
            self.floor = self.history.popleft().rv
        for watcher in list(self.watchers):
            watcher.offer(event)

    def at(self, rv):
        """The objects as they were at `rv` (>= floor), by undoing the younger events."""
        objects = dict(self.objects)
        for event in reversed(self.history):
            if event.rv <= rv:
                break
            if event.old is None:
                objects.pop(event.new.key, None)
            else:
                objects[event.old.key] = event.old
        return objects


class Store:
    def __init__(self, window):
        self.rv = 200  # a fresh real cluster has used up a few hundred too; also catches clients that assume small ones
        self.window = window
        self.tables = {}

    def table(self, res):
        key = res.storage
        if key not in self.tables:
            self.tables[key] = Table(self.rv)
        return self.tables[key]

    def get(self, res, namespace, name):
        return self.table(res).objects.get(f"{namespace}/{name}" if namespace else name)

    def put(self, res, data):
        """Create or replace; stamps the new resourceVersion into `data`."""
        table = self.table(res)
        self.rv += 1
        data["metadata"]["resourceVersion"] = str(self.rv)
        new = Stored(data, self.rv)
        old = table.objects.get(new.key)
        table.objects[new.key] = new
        table.record(Event(self.rv, "MODIFIED" if old else "ADDED", new, old), self.window)
        return new

    def remove(self, res, stored):
        """Delete; the DELETED event shows the last state with the resourceVersion of the deletion."""
        table = self.table(res)
        self.rv += 1
        data = stored.copy()
        data["metadata"]["resourceVersion"] = str(self.rv)
        last = Stored(data, self.rv)
        del table.objects[stored.key]
        table.record(Event(self.rv, "DELETED", last, stored), self.window)
        return last

    def compact(self):
        """Forget all history. The counter moves on, so that every version a client holds now counts as old."""
        self.rv += 1
        for table in self.tables.values():
            table.history.clear()
            table.floor = self.rv

    def watchers(self):
        return [w for table in self.tables.values() for w in table.watchers]

    def save(self, path):
        dump = {"rv": self.rv, "tables": [[list(key), [s.data for s in table.objects.values()]]
                                          for key, table in self.tables.items()]}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(dump))
        temporary.replace(path)

    def load(self, path):
        """As a real restart: the objects come back, the watch history does not."""
        dump = json.loads(path.read_text())
        self.rv = dump["rv"]
        for key, objects in dump["tables"]:
            table = Table(self.rv)
            for data in objects:
                stored = Stored(data, int(data["metadata"]["resourceVersion"]))
                table.objects[stored.key] = stored
            self.tables[tuple(key)] = table
