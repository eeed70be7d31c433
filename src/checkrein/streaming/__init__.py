"""The gate of a streamed answer: what may leave when, judged a few times and never per chunk.

`hold` gives nothing out before the verdict on the whole. `window` gives out what no finding can grow into
any more, after asking: before anything leaves, when a finding of a new type is about to, and at the end.
`open` is for a stage where no denial could stand: everything passes along and is judged at the end, for the
record.
"""

from .asking import Backing
from .gate import GateMode, StreamGate

__all__ = ["Backing", "GateMode", "StreamGate"]
