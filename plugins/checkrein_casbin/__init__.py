"""Casbin: an engine plug-in over `pycasbin`, for ACL, RBAC with domains and ABAC models."""

from checkrein.errors import MissingExtraError

try:
    from .engine import CasbinEngine
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "casbin":
        raise
    raise MissingExtraError("engine", "casbin", "casbin") from error

__all__ = ["CasbinEngine"]
