"""Watchers of one process, and rows that an adapter gives."""

from threading import Event

BOUND = 20
ALLOWED = ["staff", "*", "invoke", "allow", ""]
ALICE = ["user:alice", "staff"]


class Watcher:
    """An in-process watcher, as Casbin's interface has it: every other watcher of the channel is told."""

    def __init__(self, channel):
        self.channel = channel
        self.callback = None
        self.closed = 0
        channel.append(self)

    def set_update_callback(self, callback):
        self.callback = callback

    def update(self):
        for one in self.channel:
            if one is not self and one.callback is not None:
                one.callback("a message")

    def close(self):
        self.closed += 1


class Swaps:
    """Waits for versions to come into force."""

    def __init__(self):
        self.seen = []
        self.event = Event()

    def __call__(self, revision):
        self.seen.append(revision)
        self.event.set()

    def wait(self):
        assert self.event.wait(BOUND)
        self.event.clear()


def told_of(watcher, changed):
    watcher.set_update_callback(changed)
    return watcher


def append_rows(model, rows):
    for kind, given in rows.items():
        model.model[kind[0]][kind].policy.extend(list(row) for row in given)
