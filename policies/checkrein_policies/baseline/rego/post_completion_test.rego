package checkrein.post_completion_test

import data.checkrein.post_completion

answers(kinds) := {"context": {"findings": [{"type": kind, "origin": "assistant", "current": true} |
	some kind in kinds
]}}

redacted := {kind |
	some obligation in post_completion.decision.obligations
	some kind in obligation.properties.types
}

test_a_clean_answer_is_left_alone if {
	post_completion.decision == {"allow": true, "obligations": set()} with input as answers([])
}

test_personal_data_and_secrets_are_redacted if {
	redacted == {"us_ssn", "password"} with input as answers(["us_ssn", "password", "injection"])
}
