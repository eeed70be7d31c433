# Who may invoke which model. `permit` opens, `deny` always closes, and what no rule permits stays closed.

permit(s: User, "invoke_model", r: Model, _) if reaches(s.tier, r.get("size"));
permit(s: User, "submit_prompt", r: Model, _) if reaches(s.tier, r.get("size"));
permit(_: User, "return_completion", _: Model, _);

reaches("free", "small");
reaches("pro", size) if size in ["small", "medium"];
reaches("enterprise", size) if size in ["small", "medium", "large"];

# What only some subjects or models have is asked for with `.get`: an absent attribute is an error, so that a
# misspelling in a `deny` cannot permit.
deny(s: User, _, _: Model, _, "suspended") if s.get("suspended") = true;

deny(s: User, "invoke_model", r: Model, _, {code: "residency", message: "this subject's data stays in the EU"}) if
    s.get("region") = "eu" and r.get("region") != "eu";

deny(s: User, "invoke_model", r: Model, _, "classification") if
    s.get("data_class", 0) > r.get("cleared_for", 0);

# `usage` comes from the host; nothing is refused for a budget that nobody keeps.
deny(_: User, "invoke_model", _: Model, ctx, "budget.exceeded") if
    usage = ctx.get("usage") and usage != nil and
    usage.spent_micros + ctx.estimated.cost_micros > usage.limit_micros;

# Polar's own tests: they run whenever the file is loaded.
?= permit(new User("fred", {tier: "free"}), "invoke_model", new Model("m", {size: "small"}), new Context({}));
?= not permit(new User("fred", {tier: "free"}), "invoke_model", new Model("m", {size: "large"}), new Context({}));
?= not permit(new User("fred", {tier: "free"}), "invoke_model", new Model("m"), new Context({}));
?= not permit(new Anonymous("anonymous"), "invoke_model", new Model("m", {size: "small"}), new Context({}));
?= deny(new User("emma", {region: "eu"}), "invoke_model", new Model("m", {region: "us"}), new Context({}), reason) and
    reason.code = "residency";
