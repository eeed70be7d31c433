package checkrein.model_selection_test

import data.checkrein.model_selection

asks(usage, estimated) := {"context": {"usage": usage, "estimated": estimated}}

small := {"max_tokens": 10, "cost_micros": 100}

codes := {reason.code | some reason in model_selection.decision.reasons}

test_under_the_limit if {
	model_selection.decision.allow with input as asks({"spent_micros": 899, "limit_micros": 1000}, small)
}

test_at_the_limit if {
	codes == {"budget.exceeded"} with input as asks({"spent_micros": 900, "limit_micros": 1000}, small)
}

test_the_team_has_a_limit_of_its_own if {
	codes == {"budget.team_exceeded"} with input as asks(
		{"spent_micros": 0, "limit_micros": 1000, "team": {"spent_micros": 9900, "limit_micros": 10000}},
		small,
	)
}

test_a_limit_without_a_counter if {
	codes == {"budget.unknown"} with input as asks({"limit_micros": 1000}, small)
}

test_the_last_request_of_the_hour if {
	model_selection.decision.allow with input as asks({"requests": 9, "quota": 10}, {})
}

test_the_quota_is_used_up if codes == {"rate.exceeded"} with input as asks({"requests": 10, "quota": 10}, {})

test_no_limits_are_not_no_limit if codes == {"usage.unknown"} with input as {"context": {}}

test_an_unbounded_call_is_bound if {
	obligations := model_selection.decision.obligations with input as asks(
		{"spent_micros": 0, "limit_micros": 1000},
		{},
	)
	obligations == {{"type": "limit_tokens", "properties": {"max_tokens": 1024}}}
}
