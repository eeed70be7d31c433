# METADATA
# title: What may be in an answer
package desk.answers

import data.desk
import data.desk_config as config

decision := {"allow": true, "obligations": obligations}

obligations contains {"type": "redact", "properties": {"types": types}} if {
	types := sort(desk.found & {kind | some kind in config.personal})
	count(types) > 0
}
