"""Role graphs that do not change once they are built: `g`, `g2`, with or without a domain.

The library's role managers make a node for every name that they are asked about, which grows without end by
names that callers choose and changes dictionaries under other threads; they also stop after ten levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["RoleGraph"]


class RoleGraph:
    """Who has which role; a name has itself, as in Casbin.

    Args:
        columns: 2, member and role; or 3, and the domain.
        rows: as many values each.
    """

    __slots__ = ("_links", "columns")

    def __init__(self, columns: int, rows: Iterable[Sequence[str]]) -> None:
        self.columns = columns
        links: dict[str, dict[str, list[str]]] = {}
        for row in rows:
            domain = row[2] if len(row) > 2 else ""  # noqa: PLR2004 -- the third column
            links.setdefault(domain, {}).setdefault(row[0], []).append(row[1])
        self._links = links

    def roles(self, name: str, domain: str) -> frozenset[str]:
        """Every role that a name has, itself included; linear in the links that are followed.

        Args:
            name: a subject, a resource or a role.
            domain: the domain; empty for a graph without.
        """
        found = {name}
        links = self._links.get(domain)
        if links is not None:
            open_ = [name]
            while open_:
                for role in links.get(open_.pop(), ()):
                    if role not in found:
                        found.add(role)
                        open_.append(role)
        return frozenset(found)
