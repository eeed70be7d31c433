# Who may still call a model: counters under their limits. All of them come with the request.

permit(_, "invoke_model", _, _);

deny(_, "invoke_model", _, ctx, reason) if
    not budget(ctx, _, _) and
    not rated(ctx, _, _) and
    reason = {code: "usage.unknown", message: "nobody set a budget or a quota"};

deny(_, "invoke_model", _, ctx, reason) if
    budget(ctx, budget, code) and
    spent = budget.get("spent_micros") and spent matches Integer and
    budget.get("limit_micros") matches Integer and
    cost(ctx, cost) and
    spent + cost >= budget.limit_micros and
    reason = {code: code, message: "what was spent and this call reach the limit"};

deny(_, "invoke_model", _, ctx, reason) if
    budget(ctx, budget, _) and
    not (budget.get("spent_micros") matches Integer and budget.get("limit_micros") matches Integer) and
    reason = {code: "budget.unknown", message: "there is a limit, and nobody knows what was spent"};

deny(_, "invoke_model", _, ctx, reason) if
    budget(ctx, _, _) and
    estimated(ctx, "max_tokens", _) and
    not estimated(ctx, "cost_micros", _) and
    reason = {code: "budget.unknown", message: "there is a limit, and the price of this call is unknown"};

deny(_, "invoke_model", _, ctx, reason) if
    rated(ctx, requests, quota) and
    requests matches Integer and quota matches Integer and requests >= quota and
    reason = {code: "rate.exceeded", message: "the quota of this hour is used up"};

deny(_, "invoke_model", _, ctx, reason) if
    rated(ctx, requests, quota) and
    not (requests matches Integer and quota matches Integer) and
    reason = {code: "rate.unknown", message: "there is a quota, and nobody counted the requests"};

# Of a call that may take any number of tokens nobody can say what it costs.
obligation(_, "invoke_model", _, ctx, {type: "limit_tokens", properties: {max_tokens: 1024}}) if
    budget(ctx, _, _) and not estimated(ctx, "max_tokens", _);

# Each budget that somebody set, and what its excess is called.
budget(ctx, usage, "budget.exceeded") if
    usage = ctx.get("usage") and limited(usage);
budget(ctx, team, "budget.team_exceeded") if
    usage = ctx.get("usage") and usage matches Dictionary and
    team = usage.get("team") and limited(team);

limited(budget) if budget matches Dictionary and not budget.get("limit_micros") = nil;

rated(ctx, requests, quota) if
    usage = ctx.get("usage") and usage matches Dictionary and
    quota = usage.get("quota") and not quota = nil and
    requests = usage.get("requests");

estimated(ctx, name, value) if
    estimated = ctx.get("estimated") and estimated matches Dictionary and
    value = estimated.get(name) and not value = nil;

cost(ctx, cost) if estimated(ctx, "cost_micros", cost);
cost(ctx, 0) if not estimated(ctx, "cost_micros", _);

# Tests
?= not deny(new User("a", {}), "invoke_model", new Model("m", {}), new Context({usage: {requests: 9, quota: 10}}), _);
?= deny(new User("a", {}), "invoke_model", new Model("m", {}), new Context({usage: {requests: 10, quota: 10}}), _);
?= deny(new User("a", {}), "invoke_model", new Model("m", {}), new Context({usage: {spent_micros: 5, limit_micros: 5}}), _);
?= deny(new User("a", {}), "invoke_model", new Model("m", {}), new Context({}), _);
