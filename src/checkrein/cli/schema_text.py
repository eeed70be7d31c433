"""The input document in the words of Cedar and of Rego: text to begin a policy project with."""

from __future__ import annotations

from typing import Final

from checkrein.vocabulary import Stage

__all__ = ["cedar_schema", "rego_annotations"]

# By stage: which entities are the resource, and what its context holds beside the common part.
_RESOURCES: Final = {
    Stage.MODEL_SELECTION: "Model",
    Stage.PRE_PROMPT: "Model",
    Stage.POST_COMPLETION: "Model",
    Stage.TOOL_CALL: "Tool",
    Stage.TOOL_RESULT: "[Tool, Retriever]",
}
_OWN: Final = {
    Stage.MODEL_SELECTION: ("prompt: Facts,",),
    Stage.PRE_PROMPT: ("prompt: Text,",),
    Stage.POST_COMPLETION: ("completion: Text,",),
    Stage.TOOL_CALL: (),
    Stage.TOOL_RESULT: ("result: Text,",),
}
_TYPES: Final = """\
// The input document of Checkrein, as its engine `cedar` hands it to policies.
//
// Add the properties of your own subjects, models and tools, and the arguments that policies read. What is
// optional may be absent: ask with `has` first, for a policy that reads what is absent ends in an error,
// and an error denies. Money is in micro-USD, prices are per million tokens.

entity Group;
entity Role;
entity ModelFamily;
entity Anonymous;
entity User in [Group, Role] = {
  tier?: String,
  groups?: Set<String>,
  roles?: Set<String>,
};
entity Model in [ModelFamily] = {
  provider?: String,
  family?: String,
  size?: String,
  region?: String,
  input_price?: Long,
  output_price?: Long,
};
entity Tool;
entity Retriever;

type Segment = { role: String, origin: String, current: Bool, start: Long, end: Long };
type Facts = { length: Long, words: Long, code: Bool, segments: Set<Segment> };
type Text = { text: String, length: Long, words: Long, code: Bool, segments: Set<Segment> };
type Finding = {
  type: String, origin: String, current: Bool, segment: Long, start: Long, end: Long
};
type Tokens = { prompt_tokens?: Long, completion_tokens?: Long, total_tokens?: Long };
"""
_COMMON: Final = """\
    operation?: String,
    model?: String,
    tools?: Set<String>,
    tool?: { name?: String, call_id?: String, arguments?: {} },
    tokens?: Tokens,
    finish_reason?: String,
    partial?: Bool,
    released?: Long,
    approval?: { approvers?: Set<String> },
    uninspected?: Set<{ kind: String, segment?: Long }>,
    uninspected_kinds: Set<String>,
    estimated?: { prompt_tokens?: Long, max_tokens?: Long, cost_micros?: Long },
    usage?: { spent_micros?: Long, limit_micros?: Long, requests?: Long, quota?: Long },
    findings: Set<Finding>,
    found: Set<String>,
    found_current: Set<String>,
    identity: { source: String, asserted: Bool },
    supported_obligations: Set<String>,
    environment: { time: String, host?: String, endpoint?: String },
"""


def cedar_schema(stage: Stage | None = None) -> str:
    """A Cedar schema of the input document, in Cedar's own syntax.

    Args:
        stage: of one stage's action alone; by default of all.
    """
    return "\n".join([_TYPES, *(_action(one) for one in Stage if stage in (None, one))])


def _action(stage: Stage) -> str:
    own = "".join(f"    {line}\n" for line in _OWN[stage])
    return (
        f'action "{stage.action}" appliesTo {{\n'
        "  principal: [User, Anonymous],\n"
        f"  resource: {_RESOURCES[stage]},\n"
        f"  context: {{\n{own}{_COMMON}  }},\n"
        "};\n"
    )


def rego_annotations(stage: Stage | None = None) -> str:
    """How Rego modules are checked against the input's schema, as `opa check` and `regal` read it.

    Args:
        stage: for the module of one stage alone; by default for all.
    """
    stages = [one for one in Stage if stage in (None, one)]
    lines = [
        "# The checker of OPA compares every reference to the input with a schema, where a module says so:",
        "#",
        *(f"#   checkrein schema input --stage {one} > schemas/{one}.json" for one in stages),
        "#   opa check --strict --schema schemas/ rego/",
        "#",
        "# The annotation stands right above the package, and holds for all of it:",
    ]
    for one in stages:
        lines += [
            "",
            "# METADATA",
            "# scope: package",
            "# schemas:",
            f"#   - input: schema.{one}",
            f"package checkrein.{one}",
        ]
    return "\n".join(lines) + "\n"
