# METADATA
# title: What may be in an answer
# description: Personal data and secrets are redacted; what may not be passed on in part is replaced.
package checkrein.post_completion

import data.checkrein.config
import data.checkrein.content

decision := {"allow": true, "obligations": (content.redact(redacted) | replacements) | content.retention}

withheld := {kind | some kind in config.withheld}

redacted := (content.found & content.sensitive) - withheld

replacements contains {"type": "replace", "properties": {"text": "The answer was withheld by policy."}} if {
	count(content.found & withheld) > 0
}
