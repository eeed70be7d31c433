package checkrein.pre_prompt_test

import data.checkrein.pre_prompt

holds(tier, kind, origin, current) := {
	"subject": {"type": "user", "id": "alice", "properties": {"tier": tier}},
	"context": {"findings": [{"type": kind, "origin": origin, "current": current}]},
}

codes := {reason.code | some reason in pre_prompt.decision.reasons}

redacted := {kind |
	some obligation in pre_prompt.decision.obligations
	some kind in obligation.properties.types
}

test_a_clean_prompt_passes if {
	pre_prompt.decision.allow with input as {
		"subject": {"type": "user", "id": "alice", "properties": {"tier": "free"}},
		"context": {"findings": []},
	}
}

test_an_injection_is_refused if {
	codes == {"injection"} with input as holds("enterprise", "injection", "user", true)
}

test_an_injection_in_tool_output_is_refused if {
	codes == {"injection"} with input as holds("enterprise", "injection", "tool", true)
}

test_the_system_prompt_may_speak_of_injections if {
	pre_prompt.decision.allow with input as holds("enterprise", "injection", "system", false)
}

test_a_secret_is_refused_in_every_tier if {
	codes == {"secret.api_key"} with input as holds("enterprise", "api_key", "user", true)
}

test_a_secret_in_history_is_redacted if {
	pre_prompt.decision.allow with input as holds("enterprise", "api_key", "user", false)
	redacted == {"api_key"} with input as holds("enterprise", "api_key", "user", false)
}

test_free_may_not_send_personal_data if {
	codes == {"pii.us_ssn"} with input as holds("free", "us_ssn", "user", true)
}

test_free_history_is_redacted if {
	pre_prompt.decision.allow with input as holds("free", "us_ssn", "user", false)
	redacted == {"us_ssn"} with input as holds("free", "us_ssn", "user", false)
}

test_pro_has_personal_data_redacted if {
	pre_prompt.decision.allow with input as holds("pro", "us_ssn", "user", true)
	redacted == {"us_ssn"} with input as holds("pro", "us_ssn", "user", true)
}

test_a_secret_that_the_model_wrote_is_redacted_alone if {
	pre_prompt.decision.allow with input as holds("enterprise", "password", "assistant", true)
	redacted == {"password"} with input as holds("enterprise", "password", "assistant", true)
}

test_personal_data_in_retrieved_text_is_refused_for_free if {
	codes == {"pii.phone"} with input as holds("free", "phone", "retrieved", true)
}

test_every_reason_is_given if {
	codes == {"injection", "secret.password", "pii.iban"} with input as {
		"subject": {"type": "anonymous", "id": "anonymous", "properties": {}},
		"context": {"findings": [
			{"type": "injection", "origin": "tool", "current": true},
			{"type": "password", "origin": "user", "current": true},
			{"type": "iban", "origin": "retrieved", "current": true},
		]},
	}
}

test_an_unknown_tier_is_held_to_the_strictest if {
	codes == {"pii.email"} with input as holds("gold", "email", "user", true)
}
