"""Which stages an engine answers: those whose action its policies name."""

import pytest

from checkrein.errors import PolicyLoadError
from checkrein.vocabulary import Effect, Entity, Stage

OPEN = "permit(principal, action, resource);"


def test_an_open_action_covers_every_stage(load):
    assert load(OPEN).stages == frozenset(Stage)


def test_a_named_action_covers_its_stage(load):
    engine = load('permit(principal, action == Action::"call_tool", resource);')
    assert engine.stages == {Stage.TOOL_CALL}
    assert engine.entrypoint(Stage.TOOL_CALL) == 'Action::"call_tool"'
    assert engine.entrypoint(Stage.PRE_PROMPT) is None


def test_several_named_actions_cover_theirs(load):
    engine = load('permit(principal, action in [Action::"call_tool", Action::"invoke_model"], resource);')
    assert engine.stages == {Stage.TOOL_CALL, Stage.MODEL_SELECTION}


def test_the_settings_can_say_it_otherwise(load):
    assert load(OPEN, stages=["pre_prompt"]).stages == {Stage.PRE_PROMPT}
    custom = load('permit(principal, action == Action::"summarise", resource);', stages=["pre_prompt"])
    assert custom.stages == {Stage.PRE_PROMPT}


def test_a_custom_action_is_asked_for(load, asked):
    engine = load('permit(principal, action == Action::"summarise", resource);', stages=["pre_prompt"])
    assert engine.evaluate(asked(action="summarise")).effect is Effect.PERMIT
    assert engine.evaluate(asked()).effect is Effect.NOT_APPLICABLE


@pytest.mark.parametrize(
    "action", ['action == Action::"submit_promt"', 'action == Other::Action::"submit_prompt"']
)
def test_policies_of_no_stage_do_not_load(load, action):
    with pytest.raises(PolicyLoadError, match=r'name no stage\'s action, .*`Action::"submit_prompt"`'):
        load(f"permit(principal, {action}, resource);")


def test_a_stage_where_policies_only_forbid_is_pointed_out(load):
    policies = (
        'permit(principal, action == Action::"submit_prompt", resource); forbid(principal, action, resource);'
    )
    with pytest.raises(
        PolicyLoadError, match="`model_selection`, `post_completion`, `tool_call`, `tool_result`"
    ):
        load(policies)
    assert load(policies, stages=["pre_prompt", "tool_call"]).stages == {Stage.PRE_PROMPT, Stage.TOOL_CALL}


def test_a_group_of_actions_covers_its_members(load, asked):
    schema = """
    entity User; entity Model;
    action text; action judged in [text];
    action submit_prompt, return_completion in [judged] appliesTo { principal: User, resource: Model };
    action call_tool appliesTo { principal: User, resource: Model };
    """
    engine = load('permit(principal, action in Action::"text", resource);', schema=schema)
    assert engine.stages == {Stage.PRE_PROMPT, Stage.POST_COMPLETION}
    assert engine.evaluate(asked()).effect is Effect.PERMIT
    alone = "".join(
        f'permit(principal, action == Action::"{name}", resource);' for name in ("call_tool", "text")
    )
    assert load(alone).stages == {Stage.TOOL_CALL}


def test_actions_can_be_grouped_by_the_entities_too(load, asked):
    member = {
        "uid": {"type": "Action", "id": "submit_prompt"},
        "attrs": {},
        "parents": [{"type": "Action", "id": "text"}],
    }
    engine = load('permit(principal, action in Action::"text", resource);', entities=[member])
    assert engine.stages == {Stage.PRE_PROMPT}
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_a_namespace_is_that_of_types_and_actions(load, asked):
    policy = """
    permit(
      principal is Acme::User in Acme::Group::"data",
      action == Acme::Action::"submit_prompt",
      resource is Acme::Model in Acme::ModelFamily::"gpt"
    );
    """
    engine = load(policy, namespace="Acme")
    assert engine.entrypoint(Stage.PRE_PROMPT) == 'Acme::Action::"submit_prompt"'
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_a_type_with_a_namespace_keeps_it(load, asked):
    policy = "permit(principal is Corp::Person, action, resource is Acme::Model);"
    engine = load(policy, namespace="Acme", types={"user": "Corp::Person"})
    assert engine.evaluate(asked()).effect is Effect.PERMIT


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("user", "User"),
        ("anonymous", "Anonymous"),
        ("service_account", "ServiceAccount"),
        ("agent", "Agent"),
        ("tool", "Tool"),
        ("retriever", "Retriever"),
    ],
)
def test_a_type_is_named_by_rule(load, asked, kind, name):
    engine = load(f"permit(principal is {name}, action, resource);")
    assert engine.evaluate(asked(Entity(type=kind, id="x"))).effect is Effect.PERMIT
