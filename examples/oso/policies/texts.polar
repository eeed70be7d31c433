# What may be in a prompt and in an answer. `ctx.found` has every type of finding, `ctx.found_current` those of
# the turn being answered: a policy decides on these, and leaves the text alone.

deny(_, "submit_prompt", _, ctx, "pii.us_ssn") if "us_ssn" in ctx.found_current;
deny(_, "submit_prompt", _, ctx, "secret.api_key") if "api_key" in ctx.found_current;
deny(_, "submit_prompt", _, ctx, "injection") if "injection" in ctx.found_current;

obligation(_, "submit_prompt", _, ctx, {type: "redact", properties: {types: ["email"]}}) if "email" in ctx.found;
obligation(_, "return_completion", _, ctx, {type: "redact", properties: {types: ctx.found}}) if ctx.found.length > 0;

# The earlier turns are redacted, not refused: they were let through once.
obligation(_, "submit_prompt", _, ctx, {type: "redact", properties: {types: ["us_ssn"]}}) if "us_ssn" in ctx.found;

obligation(s: User, "submit_prompt", _, _, {type: "limit_tokens", properties: {max_tokens: 512}}) if s.tier = "free";
obligation(s: User, _, _, _, {type: "no_store", properties: {}}) if s.get("data_class", 0) >= 2;
