# Model access, budget and routing; then what may be in prompts and answers. Each `deny` is a reason.

permit(_, "invoke_model", _, _);
permit(_, "submit_prompt", _, _);
permit(_, "return_completion", _, _);

# Tiers
deny(s, "invoke_model", _, _, reason) if
    not sizes(s.get("tier"), _) and
    reason = {code: "tier.unknown", message: "the subject has no known tier"};

deny(s, "invoke_model", r, _, reason) if
    sizes(s.get("tier"), included) and
    not r.get("size") in included and
    reason = {code: "tier.model_size", message: "the tier does not include models of this size"};

sizes("free", ["small"]);
sizes("pro", ["small", "medium"]);
sizes("enterprise", ["small", "medium", "large"]);

# Prices are micro-USD per million tokens: 2000000 is 0.002 USD per thousand.
deny(s, "invoke_model", r, _, reason) if
    s.get("tier") = "free" and
    not affordable(r) and
    reason = {code: "tier.model_price", message: "the model costs more than the tier includes, or nobody knows"};

affordable(r) if within_limit(r.get("input_price")) and within_limit(r.get("output_price"));
within_limit(price) if price matches Integer and price <= 2000000;

# The budget, where the host knows what was spent
deny(_, "invoke_model", _, ctx, reason) if
    fact(ctx, "usage", "limit_micros", limit) and limit matches Integer and
    fact(ctx, "usage", "spent_micros", spent) and spent matches Integer and
    cost(ctx, cost) and
    spent + cost >= limit and
    reason = {code: "budget.exceeded", message: "the budget does not cover this call"};

deny(_, "invoke_model", _, ctx, reason) if
    fact(ctx, "usage", "limit_micros", limit) and
    fact(ctx, "usage", "spent_micros", spent) and
    not (limit matches Integer and spent matches Integer) and
    reason = {code: "budget.unknown", message: "there is a budget, and what it says is no number"};

cost(ctx, cost) if fact(ctx, "estimated", "cost_micros", cost);
cost(ctx, 0) if not fact(ctx, "estimated", "cost_micros", _);

fact(ctx, group, name, value) if
    facts = ctx.get(group) and facts matches Dictionary and
    value = facts.get(name) and not value = nil;

# Routes: names of models that the host knows
obligation(s, "invoke_model", r, ctx, {type: "route", properties: {model: better}}) if
    "route" in ctx.supported_obligations and
    route(s, r, ctx, better) and
    not better = r.id;

route(s, _, ctx, "llama-local") if
    s.get("privacy_preference") = "high" and ctx.prompt.words <= 50 and ctx.prompt.code = false;
route(s, r, ctx, better) if
    strong(s.get("tier"), better) and r.get("size") = "small" and complex(ctx);

strong("pro", "gpt-4.1-mini");
strong("enterprise", "gpt-4o");

complex(ctx) if ctx.prompt.words > 100 or ctx.prompt.code = true;

# Injection
deny(_, "submit_prompt", _, ctx, reason) if
    "injection" in ctx.found_current and
    reason = {code: "injection", message: "the text tries to override the instructions"};

# Secrets
deny(_, "submit_prompt", _, ctx, reason) if
    secret(kind, code) and
    kind in ctx.found_current and
    reason = {code: code, message: "the text holds a secret"};

secret("api_key", "secret.api_key");
secret("password", "secret.password");
secret("private_key", "secret.private_key");

# Personal data: refused, unless the tier redacts it
deny(s, "submit_prompt", _, ctx, reason) if
    not s.get("tier") in ["pro", "enterprise"] and
    personal(kind, code) and
    kind in ctx.found_current and
    reason = {code: code, message: "the tier does not allow personal data in prompts"};

personal("credit_card", "pii.credit_card");
personal("email", "pii.email");
personal("iban", "pii.iban");
personal("phone", "pii.phone");
personal("us_ssn", "pii.us_ssn");

# Redaction: everywhere in the text, whoever wrote it
obligation(_, action, _, ctx, {type: "redact", properties: {types: [kind]}}) if
    action in ["submit_prompt", "return_completion"] and
    kind in ctx.found and redacted(kind);

redacted(kind) if personal(kind, _) or secret(kind, _);

# Tests
?= not deny(new User("ed", {tier: "pro"}), "invoke_model", new Model("m", {size: "medium"}), new Context({}), _);
?= deny(new User("ed", {tier: "pro"}), "invoke_model", new Model("m", {size: "large"}), new Context({}), _);
?= deny(new User("ed", {}), "invoke_model", new Model("m", {size: "small"}), new Context({}), _);
?= complex(new Context({prompt: {words: 101, code: false}}));
?= not complex(new Context({prompt: {words: 100, code: false}}));
?= deny(new User("ed", {}), "submit_prompt", new Model("m", {}), new Context({found_current: ["email"]}), _);
