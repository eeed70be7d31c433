# Everybody whose tier is known may choose a model, write prompts and read answers.
permit(s: User, a, _r, _ctx) if
    a in ["invoke_model", "submit_prompt", "return_completion"] and
    member(s);

permit(s: User, "invoke_model", _r, _ctx) if s.id = "owner";

permit(s: User, "call_tool", r: Tool, _ctx) if
    r.id = "search" and
    s.get("tier") = "pro";

member(s: User) if tier = s.get("tier") and tier in ["free", "pro"];

deny(s, _a, _r, _ctx, "access.suspended") if s.get("suspended") = true;

deny(s: User, "invoke_model", r, _ctx, "tier.model") if
    s.get("tier") = "free" and
    r.get("size") = "large";

deny(_s, "invoke_model", r: Model, _ctx, "model.retired") if r.id = "retired";

deny(_s, "submit_prompt", _r, ctx, "pii.us_ssn") if "us_ssn" in ctx.found_current;

deny(_s, "submit_prompt", _r, ctx, "budget.exceeded") if
    usage = ctx.get("usage", {}) and
    spent = usage.get("spent_micros") and
    limit = usage.get("limit_micros") and
    spent != nil and limit != nil and
    spent > limit;

obligation(_s, "submit_prompt", _r, ctx, {type: "redact", properties: {types: ["email"]}}) if
    "email" in ctx.found;

obligation(s: User, "submit_prompt", r, _ctx, {type: "route", properties: {model: "local"}}) if
    s.get("tier") = "pro" and
    s.get("private") = true and
    r.id != "local";

obligation(_s, "return_completion", _r, ctx, {type: "redact", properties: {types: ["email", "us_ssn"]}}) if
    found = ctx.found and
    ("email" in found or "us_ssn" in found);
