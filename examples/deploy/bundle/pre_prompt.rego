# METADATA
# title: What may be in a prompt
package checkrein.pre_prompt

import data.checkrein.findings

decision := {"allow": count(reasons) == 0, "reasons": reasons, "obligations": findings.redactions}

reasons contains {"code": "injection", "msg": "an attempt to change the instructions"} if {
	"injection" in findings.current
}

reasons contains {"code": "secret", "msg": "a secret in the prompt"} if {
	some type in ["api_key", "password", "private_key"]
	type in findings.current
}
