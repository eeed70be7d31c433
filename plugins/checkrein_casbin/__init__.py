"""Casbin: an engine plug-in over `pycasbin`, for ACL, RBAC with domains and ABAC models.

A model's request is made of these, in any order; another name is an error when loading:

* `sub`, `obj`: `user:alice`, `model:gpt-4o`; with their type, so that nobody can be called like a role. Name
  roles and groups without a colon, or with a prefix that no subject and no resource has: `role:staff`;
* `act`: `invoke_model`, `submit_prompt`, ...; `dom`: the tenant;
* `subject`, `resource`: `r.subject.tier` is a property; `.id`, `.type`, `.properties` are what they say;
* `ctx`: the context; `r.ctx.found` has the types of all findings, `r.ctx.found_current` those in the turn
  being answered.

What is absent (or null) is no value: reading it fails the request, unless `has(r.subject.tier) && ...` guards
it. Besides role graphs, a matcher can call `eval(p.rule)`, `keyMatch`, `keyMatch3`, `globMatch`, `ipMatch`,
`contains`, `startsWith`, `endsWith`, `lower`, `size`, `overlaps`, and the functions that the settings name.

Columns of `p`: `eft`, `priority` are Casbin's; `code` is the reason of a row; `note` is for readers. Rows of
`p2`, under `r2`, `e2` and `m2`, oblige: `ob` is an obligation, for instance `redact types=us_ssn|email`.
"""

from checkrein.errors import MissingExtraError

try:
    from .engine import CasbinEngine
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "casbin":
        raise
    raise MissingExtraError("engine", "casbin", "casbin") from error

__all__ = ["CasbinEngine"]
