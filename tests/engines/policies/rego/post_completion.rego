package checkrein.post_completion

import data.suite.people

decision := {"allow": false, "reasons": people.denials} if count(people.denials) > 0

decision := {"allow": true, "obligations": obligations} if {
	count(people.denials) == 0
	people.member
}

obligations contains {"type": "redact", "properties": {"types": ["email", "us_ssn"]}} if {
	some finding in input.context.findings
	finding.type in {"email", "us_ssn"}
}
