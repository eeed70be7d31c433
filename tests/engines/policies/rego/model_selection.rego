package checkrein.model_selection

import data.suite.people

# Undefined, which is not applicable, where nothing permits and nothing denies.
decision := {"allow": false, "reasons": denials} if count(denials) > 0

decision := {"allow": true} if {
	count(denials) == 0
	permitted
}

permitted if people.member

permitted if {
	people.user
	input.subject.id == "owner"
}

denials contains denial if some denial in people.denials

denials contains {"code": "tier.model", "msg": "the free tier gets no large model"} if {
	people.free
	input.resource.properties.size == "large"
}

denials contains {"code": "model.retired", "msg": "nobody gets a retired model"} if {
	input.resource.type == "model"
	input.resource.id == "retired"
}
