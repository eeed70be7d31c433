# Who may call which model: permits by tier, role and group; a deny beats every one of them.

# Tiers
permit(s, "invoke_model", r, _) if s.get("tier") = "free" and r.get("size") = "small";
permit(s, "invoke_model", r, _) if s.get("tier") = "pro" and r.get("size") in ["small", "medium"];
permit(s, "invoke_model", _, _) if s.get("tier") = "enterprise";

# Roles and groups
permit(s, "invoke_model", r, _) if has(s.get("roles"), "developer") and r.get("size") = "small";
permit(s, "invoke_model", r, _) if
    has(s.get("roles"), "data_scientist") and model_group(r.id, "research_models");
permit(s, "invoke_model", _, _) if has(s.get("roles"), "admin");
permit(s, "invoke_model", r, _) if
    has(s.get("groups"), "assistants") and model_group(r.id, "gpt4_models");

has(names, name) if names matches List and name in names;

model_group("gpt-4", "gpt4_models");
model_group("gpt-4-turbo", "gpt4_models");
model_group("llama-research", "research_models");

# Prices are micro-USD per million tokens: 2000000 is 0.002 USD per thousand.
deny(s, "invoke_model", r, _, reason) if
    s.get("tier") = "free" and
    not affordable(r) and
    reason = {code: "tier.model_price", message: "the model costs more than the tier includes, or nobody knows"};

affordable(r) if within_limit(r.get("input_price")) and within_limit(r.get("output_price"));
within_limit(price) if price matches Integer and price <= 2000000;

# Clearance
deny(s, "invoke_model", r, _, reason) if
    classification = r.get("classification") and
    not classification in [nil, "public"] and
    not reaches(s.get("clearance"), classification) and
    reason = {code: "clearance.insufficient", message: "the subject's clearance is below the model's classification"};

reaches(have: String, need: String) if level(have, high) and level(need, low) and high >= low;
level("internal", 1);
level("confidential", 2);
level("secret", 3);

# Tenants
deny(s, "invoke_model", r, _, reason) if
    tenant = r.get("tenant") and
    not tenant = nil and
    not tenant = s.get("tenant") and
    reason = {code: "tenant.other", message: "the model belongs to another tenant"};

# Residency
deny(s, "invoke_model", r, ctx, reason) if
    data_class(s, ctx, class) and
    not may_be_in(class, s.get("region"), r.get("region")) and
    reason = {code: "residency.region", message: "data of this class may not go to the model's region"};

data_class(s, _, class) if class = s.get("data_class") and not class = nil;
data_class(_, ctx, "personal") if
    kind in ctx.found and kind in ["credit_card", "email", "iban", "phone", "us_ssn"];

may_be_in(class, subject_region, model_region) if
    residency(class, subject_region, regions) and model_region in regions;
residency("personal", "eu", ["eu", "local"]);
residency("personal", "us", ["eu", "local", "us"]);
residency("health", "eu", ["local"]);
residency("health", "us", ["local", "us"]);

# Tests
?= permit(new User("fred", {tier: "free"}), "invoke_model", new Model("m", {size: "small"}), new Context({findings: []}));
?= not permit(new User("nemo", {}), "invoke_model", new Model("m", {size: "small"}), new Context({findings: []}));
?= deny(new User("fred", {tier: "free"}), "invoke_model", new Model("m", {}), new Context({findings: []}), _);
?= not deny(new User("ed", {tier: "enterprise"}), "invoke_model", new Model("m", {}), new Context({findings: []}), _);
?= reaches("secret", "internal");
?= not reaches("internal", "secret");
