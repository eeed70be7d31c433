# What may be in prompts and answers: each `deny` is a reason, each `obligation` something to be done.

permit(_, "submit_prompt", _, _);
permit(_, "return_completion", _, _);

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

# Topics: found by a classifier of the operator's own
deny(s, "submit_prompt", _, ctx, reason) if
    restricted(s, approved) and
    topic(name, kind, code) and
    kind in ctx.found_current and
    not name in approved and
    reason = {code: code, message: "the topic is not among those approved"};

# A restriction that nothing can check would be none.
deny(s, "submit_prompt", _, ctx, reason) if
    restricted(s, _) and
    not about_something(ctx) and
    reason = {code: "topic.unknown", message: "nobody knows what the text is about"};

restricted(s, approved) if approved = s.get("topics") and not approved = nil;
about_something(ctx) if topic(_, kind, _) and kind in ctx.found_current;

topic("finance", "topic_finance", "topic.finance");
topic("legal", "topic_legal", "topic.legal");
topic("medical", "topic_medical", "topic.medical");

# Redaction: everywhere in the text, whoever wrote it
obligation(_, action, _, ctx, {type: "redact", properties: {types: [kind]}}) if
    kind in ctx.found and redacted(action, kind);

redacted(_, kind) if personal(kind, _);
redacted("submit_prompt", kind) if secret(kind, _);
redacted("return_completion", kind) if secret(kind, _) and not withheld(kind);

# What is never passed on in part
obligation(_, "return_completion", _, ctx, obligation) if
    kind in ctx.found and withheld(kind) and
    obligation = {type: "replace", properties: {text: "The answer was withheld by policy."}};

withheld("private_key");
withheld("toxic");

# Retention; a refusal has no obligations in Polar, so this binds what is permitted
obligation(s, _, _, ctx, {type: "no_store"}) if regulated(s, ctx);

regulated(s, _) if not s.get("data_class") = nil;
regulated(_, ctx) if kind in ctx.found and kind in ["credit_card", "iban", "us_ssn"];

# Tests
?= permit(new User("ed", {}), "submit_prompt", new Model("m", {}), new Context({findings: []}));
?= not deny(new User("ed", {}), "submit_prompt", new Model("m", {}), new Context({findings: []}), _);
?= deny(new User("ed", {}), "submit_prompt", new Model("m", {}), new Context({found_current: ["email"]}), _);
?= not deny(new User("ed", {tier: "pro"}), "submit_prompt", new Model("m", {}), new Context({found_current: ["email"]}), _);
?= deny(new User("ed", {topics: []}), "submit_prompt", new Model("m", {}), new Context({found_current: []}), _);
?= regulated(new User("ed", {data_class: "health"}), new Context({found: []}));
?= not regulated(new User("ed", {}), new Context({found: ["email"]}));
