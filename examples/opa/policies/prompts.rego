# METADATA
# title: What may be in a prompt
# description: It decides on facts alone; the text is never sent here.
package desk.prompts

import data.desk
import data.desk_config as config

decision := {"allow": count(reasons) == 0, "reasons": reasons, "obligations": obligations}

reasons contains {"code": "desk.suspended"} if desk.suspended

reasons contains {"code": "desk.unknown"} if not desk.tier

reasons contains {"code": "desk.too_long"} if input.context.prompt.words > desk.tier.words

reasons contains {"code": "desk.injection"} if {
	some finding in input.context.findings
	finding.type == "injection"
	finding.current
}

obligations contains {"type": "redact", "properties": {"types": types}} if {
	types := sort(desk.found & {kind | some kind in config.personal})
	count(types) > 0
}
