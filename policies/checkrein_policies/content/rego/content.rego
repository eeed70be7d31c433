# METADATA
# title: What both stages of the content pack share
# description: What the detectors found where, and what that obliges to.
package checkrein.content

import data.checkrein.config

found contains finding.type if some finding in input.context.findings

# What stands in the turn being answered and was not written by the application or the model.
said contains finding.type if {
	some finding in input.context.findings
	finding.current
	finding.origin in {"user", "tool", "retrieved"}
}

sensitive := {kind | some kind in array.concat(config.personal, config.secrets)}

redact(kinds) := {{"type": "redact", "properties": {"types": [kind]}} | some kind in kinds}

retention contains {"type": "no_store"} if regulated

regulated if {
	some kind in config.regulated
	kind in found
}

regulated if input.subject.properties.data_class != null
