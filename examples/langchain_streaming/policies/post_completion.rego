# METADATA
# title: What may be in an answer
# description: Social security numbers are redacted; a card number ends the answer.
package checkrein.post_completion

decision := {"allow": count(reasons) == 0, "reasons": reasons, "obligations": obligations}

reasons contains {"code": "pii.credit_card", "msg": "a card number in an answer"} if {
	some finding in input.context.findings
	finding.type == "credit_card"
}

obligations contains {"type": "redact", "properties": {"types": ["us_ssn"]}} if count(reasons) == 0
