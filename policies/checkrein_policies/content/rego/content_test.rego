package checkrein.content_test

import data.checkrein.post_completion
import data.checkrein.pre_prompt

finds(who, types) := {
	"subject": {"type": "user", "id": "alice", "properties": who},
	"context": {"findings": [{"type": kind, "origin": "user", "current": true} | some kind in types]},
}

codes := {reason.code | some reason in pre_prompt.decision.reasons}

obliged(decision) := {one.type | some one in decision.obligations}

test_nothing_found_is_nothing_to_do if {
	pre_prompt.decision == {"allow": true, "obligations": set()} with input as finds({}, [])
}

test_a_tier_that_redacts if {
	obliged(pre_prompt.decision) == {"redact"} with input as finds({"tier": "pro"}, ["email"])
}

test_a_tier_that_refuses if codes == {"pii.email"} with input as finds({"tier": "free"}, ["email"])

test_secrets_are_refused_in_every_tier if {
	codes == {"secret.api_key"} with input as finds({"tier": "enterprise"}, ["api_key"])
}

test_a_refusal_of_regulated_data_is_not_stored_either if {
	obliged(pre_prompt.decision) == {"no_store"} with input as finds({"tier": "free"}, ["us_ssn"])
}

test_an_approved_topic if {
	pre_prompt.decision.allow with input as finds({"topics": ["legal"]}, ["topic_legal"])
}

test_a_topic_that_is_not_approved if {
	codes == {"topic.medical"} with input as finds({"topics": ["legal"]}, ["topic_legal", "topic_medical"])
}

test_no_topic_is_known if codes == {"topic.unknown"} with input as finds({"topics": ["legal"]}, [])

test_whoever_is_not_restricted_may_write_about_everything if {
	pre_prompt.decision.allow with input as finds({}, ["topic_medical"])
}

test_a_toxic_answer_is_replaced if {
	obliged(post_completion.decision) == {"replace", "redact"} with input as finds({}, ["toxic", "email"])
}
