# METADATA
# title: What the stages of the baseline pack share
# description: The subject's tier, and what the detectors found where.
package checkrein.baseline

import data.checkrein.config

# Undefined for a subject without a known tier: whoever uses it must say what happens then.
tier := config.tiers[input.subject.properties.tier]

found contains finding.type if some finding in input.context.findings

# What stands in the turn being answered and was not written by the application or the model.
said contains finding.type if {
	some finding in input.context.findings
	finding.current
	finding.origin in {"user", "tool", "retrieved"}
}

personal := found & {kind | some kind in config.pii}

secret := found & {kind | some kind in config.secrets}

# One obligation for each type that must not go on.
redactions contains {"type": "redact", "properties": {"types": [kind]}} if {
	some kind in personal | secret
}
