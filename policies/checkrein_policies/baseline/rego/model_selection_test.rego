package checkrein.model_selection_test

import data.checkrein.model_selection

routes := {"local": "llama-local", "strong": {"enterprise": "gpt-4o"}}

asks(tier, size, price) := {
	"subject": {"type": "user", "id": "alice", "properties": {"tier": tier}},
	"resource": {
		"type": "model",
		"id": "asked",
		"properties": {"size": size, "input_price": price, "output_price": price},
	},
	"context": {
		"prompt": {"words": 7, "code": false},
		"findings": [],
		"supported_obligations": ["route"],
	},
}

codes := {reason.code | some reason in model_selection.decision.reasons}

test_free_gets_small_and_cheap if {
	model_selection.decision.allow with input as asks("free", "small", 2000000)
}

test_free_gets_no_medium if {
	codes == {"tier.model_size"} with input as asks("free", "medium", 1)
}

test_free_gets_nothing_dear if {
	codes == {"tier.model_price"} with input as asks("free", "small", 2000001)
}

test_free_gets_nothing_of_unknown_price if {
	codes == {"tier.model_price"} with input as asks("free", "small", null)
}

test_pro_gets_medium if model_selection.decision.allow with input as asks("pro", "medium", null)

test_pro_gets_no_large if codes == {"tier.model_size"} with input as asks("pro", "large", 1)

test_enterprise_gets_large if model_selection.decision.allow with input as asks("enterprise", "large", 1)

test_unknown_size_is_no_size if codes == {"tier.model_size"} with input as asks("enterprise", null, 1)

test_unknown_tier_gets_nothing if codes == {"tier.unknown"} with input as asks("gold", "small", 1)

spends(spent, cost) := object.union(
	asks("enterprise", "large", 1),
	{"context": {
		"prompt": {"words": 7, "code": false},
		"supported_obligations": ["route"],
		"usage": {"spent_micros": spent, "limit_micros": 1000},
		"estimated": {"cost_micros": cost},
	}},
)

test_within_the_budget if model_selection.decision.allow with input as spends(900, 99)

test_at_the_limit_is_over_it if codes == {"budget.exceeded"} with input as spends(900, 100)

test_nobody_is_nobody if {
	codes == {"tier.unknown"} with input as {
		"subject": {"type": "anonymous", "id": "anonymous", "properties": {}},
		"resource": {"type": "model", "id": "asked", "properties": {"size": "small"}},
		"context": {"prompt": {"words": 1, "code": false}, "supported_obligations": []},
	}
}

writes(words, code, id) := {
	"subject": {"type": "user", "id": "alice", "properties": {"tier": "enterprise"}},
	"resource": {"type": "model", "id": id, "properties": {"size": "small"}},
	"context": {"prompt": {"words": words, "code": code}, "supported_obligations": ["route"]},
}

to_strong := {{"type": "route", "properties": {"model": "gpt-4o"}}}

routed := {obligation | some obligation in model_selection.decision.obligations}

test_code_goes_to_the_strong_model if {
	routed == to_strong with input as writes(3, true, "asked") with data.checkrein.config.routes as routes
}

test_a_long_prompt_goes_to_the_strong_model if {
	routed == to_strong with input as writes(101, false, "asked") with data.checkrein.config.routes as routes
}

test_a_prompt_of_a_hundred_words_stays if {
	routed == set() with input as writes(100, false, "asked") with data.checkrein.config.routes as routes
}

test_the_strong_model_itself_stays if {
	routed == set() with input as writes(3, true, "gpt-4o") with data.checkrein.config.routes as routes
}

test_without_routes_nothing_is_routed if {
	routed == set() with input as writes(3, true, "asked") with data.checkrein.config.routes as {}
}

whispers(words, code, id) := object.union(
	writes(words, code, id),
	{"subject": {"properties": {"tier": "enterprise", "privacy_preference": "high"}}},
)

to_local := {{"type": "route", "properties": {"model": "llama-local"}}}

test_a_short_private_prompt_goes_to_the_local_model if {
	routed == to_local with input as whispers(50, false, "asked") with data.checkrein.config.routes as routes
}

test_a_longer_private_prompt_stays if {
	routed == set() with input as whispers(51, false, "asked") with data.checkrein.config.routes as routes
}

test_the_local_model_itself_stays if {
	routed == set() with input as whispers(1, false, "llama-local") with data.checkrein.config.routes as routes
}

test_private_code_goes_to_the_strong_model if {
	routed == to_strong with input as whispers(1, true, "asked") with data.checkrein.config.routes as routes
}

mute := object.union(writes(3, true, "asked"), {"context": {"supported_obligations": []}})

test_a_host_that_cannot_route_is_not_asked_to if {
	routed == set() with input as mute with data.checkrein.config.routes as routes
}

test_a_budget_without_an_estimate_counts_what_was_spent if {
	codes == {"budget.exceeded"} with input as object.union(
		asks("enterprise", "large", 1),
		{"context": {"usage": {"spent_micros": 1000, "limit_micros": 1000}}},
	)
}

test_a_budget_that_nobody_knows_stops_nobody if {
	model_selection.decision.allow with input as object.union(
		asks("enterprise", "large", 1),
		{"context": {"usage": {"spent_micros": 1000}}},
	)
}
