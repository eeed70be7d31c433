# METADATA
# title: What may be in a prompt
# description: No injection, no secrets; personal data is refused or redacted, as the tier says.
package checkrein.pre_prompt

import data.checkrein.baseline
import data.checkrein.config

decision := {"allow": count(reasons) == 0, "reasons": reasons, "obligations": baseline.redactions}

reasons contains {"code": "injection", "msg": "the text tries to override the instructions"} if {
	"injection" in baseline.said
}

reasons contains {"code": code, "msg": "the text holds a secret"} if {
	some kind in config.secrets
	kind in baseline.said
	code := concat(".", ["secret", kind])
}

reasons contains {"code": code, "msg": "the tier does not allow personal data in prompts"} if {
	not redacts
	some kind in config.pii
	kind in baseline.said
	code := concat(".", ["pii", kind])
}

redacts if baseline.tier.pii == "redact"
