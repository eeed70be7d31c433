package checkrein.tool_call

import data.suite.people

decision := {"allow": false, "reasons": people.denials} if count(people.denials) > 0

decision := {"allow": true} if {
	count(people.denials) == 0
	people.pro
	input.resource.type == "tool"
	input.resource.id == "search"
}
