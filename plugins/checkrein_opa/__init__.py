"""OPA, remote: an engine plug-in that asks a running Open Policy Agent over its REST API."""

from .engine import OpaEngine
from .options import OpaOptions, OpaTls

__all__ = ["OpaEngine", "OpaOptions", "OpaTls"]
