"""Tracers that keep runs of whatever type as text."""

from langchain_core.tracers.base import BaseTracer


class Runs(BaseTracer):
    """Keeps what came of every run."""

    parts = ("run_type", "outputs", "error", "events")

    def __init__(self):
        super().__init__()
        self.told = []

    def _persist_run(self, run):
        todo = [run]
        while todo:
            one = todo.pop()
            todo += one.child_runs
            self.told.append(repr([getattr(one, part) for part in self.parts]))


class Everything(Runs):
    """Keeps what went into it as well."""

    parts = (*Runs.parts, "inputs")
