"""Questions that are asked and explained, a policy in Cedar, and what is said on the screen."""

from checkrein.obligations import allowed_at
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

SECRET = "forbidden fruit is what the prompt spoke of"
ALICE = Entity(type="user", id="alice", properties={"tier": "free"})
CEDAR = """
@id("small_models")
permit (principal, action == Action::"invoke_model", resource)
when { resource has size && resource.size == "small" };

@id("no_large")
@code("tier.model_size")
forbid (principal, action == Action::"invoke_model", resource)
when { resource has size && resource.size == "large" };
"""
CEDAR_SETTINGS = """
version: 1
engine: {cedar: {policies: policies.cedar, stages: [model_selection]}}
decision_log: {to: decisions.jsonl}
"""


REGO = """package checkrein.model_selection

default decision := {"allow": true}

decision := {"allow": false, "reasons": reasons} if count(reasons) > 0

reasons contains {"code": code, "msg": "not in this plan"} if {
	input.resource.properties.size == "large"
	code := concat(".", ["tier", "model_size"])
}
"""
POLAR = """permit(_, "invoke_model", _, _);
permit(_, "submit_prompt", _, _);

deny(_, "submit_prompt", _, _, "never") if 1 = 2;
deny(_, "invoke_model", r, _, "tier.model_size") if
    r.get("size") = "large";
"""
MODEL = """
[request_definition]
r = sub, obj, act, dom, subject, resource, ctx
[policy_definition]
p = act, rule, eft, code
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.act == p.act && eval(p.rule)
"""
ROWS = """# who may

p, invoke_model, True, allow,
p, invoke_model, r.resource.size == 'large', deny, tier.model_size
"""
DENYING_ROW = "p, invoke_model, r.resource.size == 'large', deny, tier.model_size"
RULE = "data.checkrein.model_selection.decision"
# By engine: its files, its node, what its verdict names, where that stands, and where the reason is written.
ENGINES = {
    "cedar": ({"x.cedar": CEDAR}, "cedar: {policies: x.cedar}", "no_large", "x.cedar:6", []),
    "casbin": (
        {"m.conf": MODEL, "p.csv": ROWS},
        "casbin: {model: m.conf, policy: p.csv}",
        DENYING_ROW,
        "p.csv:4",
        [],
    ),
    "oso": ({"polar/a.polar": POLAR}, "oso: {policies: polar}", "deny", "a.polar:4", ["a.polar:5"]),
    "regopy": ({"r/a/b.rego": REGO}, "rego: {bundle: r}", RULE, "a/b.rego:3", ["a/b.rego:7"]),
    "regorus": (
        {"r/b.rego": REGO},
        "rego: {bundle: r, backend: regorus, name: rules}",
        RULE,
        "b.rego:3",
        ["b.rego:7"],
    ),
}


def words(result):
    return " ".join(result.stdout.split())


def asked(stage, text="", *, model="small", properties=None, context=None):
    origin = Origin.ASSISTANT if stage is Stage.POST_COMPLETION else Origin.USER
    pieces = (Segment(path=(0,), role=origin.value, origin=origin, text=text),) if text else ()
    return AccessRequest(
        stage=stage,
        subject=ALICE,
        resource=Entity(type="model", id=model, properties=properties or {}),
        context={"operation": "chat", **(context or {})},
        segments=pieces,
        supports=allowed_at(stage),
        call_id="call-1",
    )


def asked_of_a_tool(**arguments):
    return AccessRequest(
        stage=Stage.TOOL_CALL,
        subject=ALICE,
        resource=Entity(type="tool", id="send"),
        context={"tool": {"arguments": arguments}},
        supports=allowed_at(Stage.TOOL_CALL),
        call_id="call-1",
    )
