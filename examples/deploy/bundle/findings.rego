# METADATA
# title: What was found, and what of it is taken out
package checkrein.findings

personal := {"credit_card", "email", "iban", "phone", "us_ssn"}

secret := {"api_key", "password", "private_key"}

# In the turn that is being answered: what was refused before stands in the history for ever.
current contains finding.type if {
	some finding in input.context.findings
	finding.current
}

redactions contains {"type": "redact", "properties": {"types": sort(found)}} if {
	found := {finding.type | some finding in input.context.findings} & (personal | secret)
	count(found) > 0
}
