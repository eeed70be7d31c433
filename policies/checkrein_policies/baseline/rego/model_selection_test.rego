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

usage(spent) := {"spent_micros": spent, "limit_micros": 1000}

large := asks("enterprise", "large", 1)

test_within_the_budget if {
	model_selection.decision.allow with input as large
		with input.context.usage as usage(900)
		with input.context.estimated as {"cost_micros": 99}
}

test_at_the_limit_is_over_it if {
	codes == {"budget.exceeded"} with input as large
		with input.context.usage as usage(900)
		with input.context.estimated as {"cost_micros": 100}
}

test_without_an_estimate_what_was_spent_counts if {
	codes == {"budget.exceeded"} with input as large with input.context.usage as usage(1000)
}

test_a_limit_that_nobody_knows_stops_nobody if {
	model_selection.decision.allow with input as large with input.context.usage as {"spent_micros": 1000}
}

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

private := {"tier": "enterprise", "privacy_preference": "high"}

to_local := {{"type": "route", "properties": {"model": "llama-local"}}}

test_a_short_private_prompt_goes_to_the_local_model if {
	routed == to_local with input as writes(50, false, "asked")
		with input.subject.properties as private
		with data.checkrein.config.routes as routes
}

test_a_longer_private_prompt_stays if {
	routed == set() with input as writes(51, false, "asked")
		with input.subject.properties as private
		with data.checkrein.config.routes as routes
}

test_the_local_model_itself_stays if {
	routed == set() with input as writes(1, false, "llama-local")
		with input.subject.properties as private
		with data.checkrein.config.routes as routes
}

test_private_code_goes_to_the_strong_model if {
	routed == to_strong with input as writes(1, true, "asked")
		with input.subject.properties as private
		with data.checkrein.config.routes as routes
}

test_a_host_that_cannot_route_is_not_asked_to if {
	routed == set() with input as writes(3, true, "asked")
		with input.context.supported_obligations as []
		with data.checkrein.config.routes as routes
}
