"""Beside the library: the same decisions on the same policies, and the traps that ours does not fall into."""

import pickle
import subprocess
import sys
import types

import casbin
from casbin.persist.adapters.string_adapter import StringAdapter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkrein.vocabulary import Effect
from checkrein_casbin.roles import RoleGraph

MATCHERS = [
    "g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act",
    "r.act == p.act && (r.sub == p.sub || g(r.sub, p.sub)) && r.obj != p.obj",
    '!g(r.sub, p.sub) && (p.obj == "group:a" || g2(r.obj, p.obj)) && r.act in [p.act, "x"]',
    "(g(r.sub, p.sub) or r.act == p.act) and not (r.obj == p.obj)",
    "keyMatch(r.obj, p.obj) && g(r.sub, p.sub) && p.act == r.act",
]
EFFECTS = [
    "some(where (p.eft == allow))",
    "!some(where (p.eft == deny))",
    "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
    "priority(p.eft) || deny",
]
SUBJECTS = ["user:alice", "user:bob", "role:a", "role:b", "role:c"]
OBJECTS = ["model:x", "model:y", "group:a", "group:b"]
ACTS = ["invoke", "look"]

policies = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from(SUBJECTS),
            st.sampled_from(OBJECTS),
            st.sampled_from(ACTS),
            st.sampled_from(["allow", "deny"]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.tuples(st.sampled_from(SUBJECTS), st.sampled_from(SUBJECTS)), max_size=6),
    st.lists(st.tuples(st.sampled_from(OBJECTS), st.sampled_from(OBJECTS)), max_size=4),
)


def written(policy):
    kinds = zip(("p", "g", "g2"), policy, strict=True)
    return "\n".join(", ".join((kind, *row)) for kind, rows in kinds for row in rows)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policy=policies, matcher=st.sampled_from(MATCHERS), effect=st.sampled_from(EFFECTS))
def test_it_decides_as_the_library_does(listed, asked, matching, policy, matcher, effect):  # noqa: PLR0913, PLR0917 -- fixtures
    columns = "sub, obj, act, eft"
    model = matching(matcher, columns=columns, effect=effect)
    ours = listed(model, dict(zip(("p", "g", "g2"), policy, strict=True)))
    plain = model.replace("r = sub, obj, act, dom, subject, resource, ctx", "r = sub, obj, act")
    theirs = casbin.Enforcer(casbin.Enforcer.new_model(text=plain), StringAdapter(written(policy)))
    for subject in ("alice", "bob", "eve"):
        for resource in ("x", "y"):
            for act in ACTS:
                allowed = theirs.enforce(f"user:{subject}", f"model:{resource}", act)
                verdict = ours.evaluate(asked(subject, resource, act))
                assert (verdict.effect is Effect.PERMIT) is allowed


def test_a_chain_of_roles_may_be_long(load, asked, matching):
    # The library stops after ten levels: a row that denies at the end of the chain would not match.
    chain = "".join(f"g, role:{n}, role:{n + 1}\n" for n in range(5000))
    model = matching("g(r.sub, p.sub) && r.act == p.act", columns="sub, act, eft", graphs=["g = _, _"])
    engine = load(model, f"g, user:alice, role:0\n{chain}p, role:5000, invoke, allow\n")
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_roles_in_a_circle_end(load, asked, matching):
    model = matching("g(r.sub, p.sub) && r.act == p.act", columns="sub, act, eft", graphs=["g = _, _"])
    engine = load(model, "g, user:alice, a\ng, a, b\ng, b, a\np, b, invoke, allow\np, c, invoke, deny\n")
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_nothing_is_kept_of_the_names_that_callers_choose(load, asked, matching):
    # The library's role managers make a node for every name, and a manager for every domain.
    model = matching(
        "g(r.sub, p.sub, r.dom) && r.act == p.act", columns="sub, act, eft", graphs=["g = _, _, _"]
    )
    engine = load(model, "g, user:alice, staff, acme\np, staff, invoke, allow\n")

    def size():
        return len(pickle.dumps({key: graph_of(engine)[key] for key in graph_of(engine)}))

    before = size()
    for n in range(200):
        engine.evaluate(asked(f"nobody{n}", properties={"tenant": f"nowhere{n}"}))
    assert size() == before


def graph_of(engine):
    """The links of every role graph that the matcher reaches."""
    found = {}
    seen = set()
    open_ = [engine._snapshot]
    while open_:
        one = open_.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, RoleGraph):
            found[len(found)] = one._links
        elif isinstance(one, types.FunctionType):
            open_.extend(cell.cell_contents for cell in one.__closure__ or ())
        elif isinstance(one, tuple | list):
            open_.extend(one)
        elif hasattr(one, "matcher"):
            open_.append(one.matcher)
        elif hasattr(one, "_permission"):
            open_.append(one._permission)
    assert found
    return found


def test_the_library_finds_out_nothing_of_the_application_when_it_is_imported():
    # Ours never builds the library's enforcer: building one disables these loggers.
    script = (
        "import logging; names = ('casbin', 'casbin.enforcer', 'casbin.policy', 'casbin.role');"
        "import checkrein_casbin; print([logging.getLogger(name).disabled for name in names])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    assert printed.stdout.strip() == "[False, False, False, False]"
