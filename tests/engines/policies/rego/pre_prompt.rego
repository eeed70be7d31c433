package checkrein.pre_prompt

import data.suite.people

decision := {"allow": false, "reasons": denials} if count(denials) > 0

decision := {"allow": true, "obligations": obligations} if {
	count(denials) == 0
	people.member
}

denials contains denial if some denial in people.denials

denials contains {"code": "pii.us_ssn", "msg": "a social security number must not leave"} if {
	some finding in input.context.findings
	finding.type == "us_ssn"
	finding.current
}

denials contains {"code": "budget.exceeded", "msg": "the budget is used up"} if {
	input.context.usage.spent_micros > input.context.usage.limit_micros
}

obligations contains {"type": "redact", "properties": {"types": ["email"]}} if {
	some finding in input.context.findings
	finding.type == "email"
}

obligations contains {"type": "route", "properties": {"model": "local"}} if {
	people.pro
	input.subject.properties.private == true
	input.resource.id != "local"
}
