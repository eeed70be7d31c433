# METADATA
# title: What may be in a prompt
# description: No injection, no secrets, approved topics; personal data is refused or redacted, as the tier says.
package checkrein.pre_prompt

import data.checkrein.config
import data.checkrein.content

# That nothing is stored holds for a refusal too.
decision := {"allow": false, "reasons": reasons, "obligations": content.retention} if {
	count(reasons) > 0
} else := {"allow": true, "obligations": content.redact(content.found & content.sensitive) | content.retention}

reasons contains {"code": "injection", "msg": "the text tries to override the instructions"} if {
	"injection" in content.said
}

reasons contains {"code": code, "msg": "the text holds a secret"} if {
	some kind in config.secrets
	kind in content.said
	code := concat(".", ["secret", kind])
}

reasons contains {"code": code, "msg": "the tier does not allow personal data in prompts"} if {
	not redacts
	some kind in config.personal
	kind in content.said
	code := concat(".", ["pii", kind])
}

# A rule of its own: `not` over a tier that is absent would be undefined, and refuse nothing.
redacts if input.subject.properties.tier in config.redacting_tiers

reasons contains {"code": code, "msg": "the topic is not among those approved"} if {
	restricted
	some topic in topics
	not topic in input.subject.properties.topics
	code := concat(".", ["topic", topic])
}

# A restriction that nothing can check would be none.
reasons contains {"code": "topic.unknown", "msg": "nobody knows what the text is about"} if {
	restricted
	count(topics) == 0
}

restricted if input.subject.properties.topics != null

topics contains topic if {
	some topic in config.topics
	concat("_", ["topic", topic]) in content.said
}
