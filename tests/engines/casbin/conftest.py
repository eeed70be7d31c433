"""What the tests of the Casbin engine share: policies written to files, and requests as engines see them."""

import asyncio
import dataclasses
import sys
from functools import cache
from pathlib import Path

import pytest

from checkrein.detection import Detectors, Span
from checkrein.document import build
from checkrein.enforcement import EnforcementPoint
from checkrein.settings import Limits, Settings
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage
from checkrein_casbin import CasbinEngine
from checkrein_casbin.definition import read_definition

sys.path.append(str(Path(__file__).parent))

from watched import Swaps

BASIC = """
[request_definition]
r = sub, obj, act, dom, subject, resource, ctx
[policy_definition]
p = sub, obj, act, eft, code
[role_definition]
g = _, _
g2 = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && (p.obj == "*" || g2(r.obj, p.obj)) && r.act == p.act
"""
RULES = """
[request_definition]
r = sub, obj, act, dom, subject, resource, ctx
r2 = sub, obj, act, dom, subject, resource, ctx, ob
[policy_definition]
p = act, rule, eft, code
p2 = act, rule, ob
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
e2 = some(where (p2.eft == allow))
[matchers]
m = r.act == p.act && eval(p.rule)
m2 = r2.act == p2.act && r2.ob == p2.ob && eval(p2.rule)
"""


def model_of(expression, columns="sub, obj, act, eft, code", effect=None, graphs=("g = _, _", "g2 = _, _")):
    """A model with this matcher."""
    effect = effect or "some(where (p.eft == allow)) && !some(where (p.eft == deny))"
    return f"""
[request_definition]
r = sub, obj, act, dom, subject, resource, ctx
[policy_definition]
p = {columns}
[role_definition]
{chr(10).join(graphs)}
[policy_effect]
e = {effect}
[matchers]
m = {expression}
"""


def find_words(text):
    """Finds the words `ssn` and `mail` as types."""
    return [
        Span(kind, place, place + len(kind))
        for kind in ("ssn", "mail")
        for place in range(len(text))
        if text.startswith(kind, place)
    ]


TYPES = Detectors(dict.fromkeys(Stage, frozenset({"ssn", "mail"})), dict.fromkeys(Stage, (find_words,)))


def make_request(subject="alice", resource="gpt-4o", act="invoke", text="hello", **changes):
    kind, _, name = subject.rpartition("/")
    properties = changes.pop("properties", {})
    about = changes.pop("about", {})
    origin = changes.pop("origin", Origin.USER)
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type=kind or "user", id=name, properties=properties),
        resource=Entity(type="model", id=resource, properties=about),
        action=act,
        segments=(Segment(path=(0,), role=origin.value, origin=origin, text=text),),
        supports=frozenset({"redact", "limit_tokens", "replace"}),
    )
    return dataclasses.replace(request, **changes)


def evaluation_of(*args, **changes):
    return build(make_request(*args, **changes), detectors=TYPES, models={}, limits=Limits())


@pytest.fixture
def matching():
    """A model with this matcher: `matching("r.act == p.act", columns="act")`."""
    return model_of


@pytest.fixture
def basic():
    """A model of two role graphs, with codes."""
    return BASIC


@pytest.fixture
def rules():
    """A model whose rows are an action and a rule."""
    return RULES


@pytest.fixture
def request_of():
    """The access request: `request_of("alice", "gpt-4o", "invoke", properties={...})`."""
    return make_request


@pytest.fixture
def asked():
    """The same as engines see it."""
    return evaluation_of


@pytest.fixture
def options(tmp_path):
    """The options of an engine over a model and rows in files."""

    def written(model=BASIC, policy="", **options):
        (tmp_path / "model.conf").write_text(model)
        named = {"model": "model.conf", **options}
        if policy is not None:
            (tmp_path / "policy.csv").write_text(policy)
            named["policy"] = "policy.csv"
        return CasbinEngine.Options.model_validate(named, context={"base": tmp_path})

    return written


@pytest.fixture
def load(options):
    """The engine over a model and rows; `functions` are Python's, `functions_` names of them."""
    engines = []

    def loaded(model=BASIC, policy="", functions=None, functions_=None, **given):
        given |= {"functions": functions_} if functions_ else {}
        made = options(model, policy, **given)
        if functions is None:
            engine = CasbinEngine.from_options(made)
        else:
            engine = CasbinEngine(
                "casbin", read_definition("model.conf", model), made.make_adapter, functions=functions
            )
        engines.append(engine)
        return engine

    yield loaded
    for engine in engines:
        engine.close()


class Listed:
    """An adapter of rows in memory, by their type; `rows` may be replaced."""

    def __init__(self, rows):
        self.rows = rows

    def load_policy(self, model):
        for kind, listed in self.rows.items():
            model.model[kind[0]][kind].policy.extend(list(row) for row in listed)


@pytest.fixture
def listed():
    """An engine over rows in memory: `listed(model, {"p": [[...]]})`; `engine._adapter.rows` are its rows."""
    engines = []

    def loaded(model, rows, **given):
        adapter = rows if hasattr(rows, "load_policy") else Listed(rows)
        engine = CasbinEngine("casbin", read_definition("model.conf", model), lambda: adapter, **given)
        engines.append(engine)
        return engine

    yield loaded
    for engine in engines:
        engine.close()


@pytest.fixture
def definition(rules):
    """The model of `rules`, read."""
    return read_definition("model.conf", rules)


@pytest.fixture
def fuzzed(listed, rules):
    """An engine by the rule of its one row, made once for each."""
    return cache(lambda expression: listed(rules, {"p": [["ask", expression, "allow", ""]]}))


@pytest.fixture
def decide():
    """Decide by an engine with either driver, with everything of an enforcement point."""

    def decided(engine, request, *, driver="sync"):
        records = []
        pep = EnforcementPoint(engine, Settings(), record=records.append)
        pep._concluder.detectors = TYPES
        decision = pep.decide(request) if driver == "sync" else asyncio.run(pep.adecide(request))
        assert records == [decision]
        return decision

    return decided


@pytest.fixture
def swaps():
    return Swaps()
