"""The error for what needs a package that nobody installed."""

from __future__ import annotations

from checkrein.errors import CheckreinError

__all__ = ["MissingPackageError"]


class MissingPackageError(CheckreinError, ImportError):
    """Something needs a package besides `langchain-core`.

    Args:
        wanted: what was asked for.
        package: what it needs.
    """

    def __init__(self, wanted: str, package: str) -> None:
        super().__init__(f"`{wanted}` needs the package `{package}`; run: pip install {package}")
        self.wanted = wanted
        self.package = package

    def __reduce__(self) -> tuple[type[MissingPackageError], tuple[str, str]]:
        return type(self), (self.wanted, self.package)
