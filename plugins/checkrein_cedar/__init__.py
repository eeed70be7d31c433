"""Cedar, embedded: an engine plug-in over `cedarpy`."""

from checkrein.errors import MissingExtraError

try:
    from .engine import CedarEngine
except ModuleNotFoundError as error:
    if error.name != "cedarpy":
        raise
    raise MissingExtraError("engine", "cedar", "cedar") from error

__all__ = ["CedarEngine"]
