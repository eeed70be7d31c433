# METADATA
# title: Who is asking
# description: What the stages of the suite's policy share.
package suite.people

user if input.subject.type == "user"

member if {
	user
	input.subject.properties.tier in {"free", "pro"}
}

free if {
	user
	input.subject.properties.tier == "free"
}

pro if {
	user
	input.subject.properties.tier == "pro"
}

denials contains {"code": "access.suspended", "msg": "the account is suspended"} if {
	input.subject.properties.suspended == true
}
