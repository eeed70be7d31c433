package checkrein.model_selection_test

import data.checkrein.model_selection

asks(who, model) := {
	"subject": {"type": "user", "id": "alice", "properties": who},
	"resource": {"type": "model", "id": "asked", "properties": model},
	"context": {"findings": []},
}

codes := {reason.code | some reason in model_selection.decision.reasons}

test_a_tier_permits if {
	model_selection.decision.allow with input as asks({"tier": "pro"}, {"size": "medium"})
}

test_nothing_permits_a_stranger if {
	not model_selection.decision with input as asks({}, {"size": "small"})
}

test_a_price_of_null_is_no_price if {
	codes == {"tier.model_price"} with input as asks({"tier": "free"}, {
		"size": "small",
		"input_price": null,
		"output_price": 0,
	})
}

test_clearance_reaches_its_own_level if {
	model_selection.decision.allow with input as asks(
		{"tier": "enterprise", "clearance": "secret"},
		{"classification": "secret"},
	)
}

test_an_unknown_level_is_reached_by_nobody if {
	codes == {"clearance.insufficient"} with input as asks(
		{"tier": "enterprise", "clearance": "cosmic"},
		{"classification": "cosmic"},
	)
}

test_a_model_of_nobody_is_for_every_tenant if {
	model_selection.decision.allow with input as asks({"tier": "enterprise", "tenant": "acme"}, {})
}

test_a_class_without_a_row_may_go_nowhere if {
	codes == {"residency.region"} with input as asks(
		{"tier": "enterprise", "data_class": "genetic", "region": "eu"},
		{"region": "local"},
	)
}
