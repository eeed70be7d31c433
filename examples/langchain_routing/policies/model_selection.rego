# METADATA
# title: Which of several models may be chosen
# description: Asked once for each model; the router takes the first that is permitted, in its order of preference.
package checkrein.model_selection

import data.checkrein.routing

decision := {"allow": count(reasons) == 0, "reasons": reasons}

reasons contains routing.external if {
	routing.personal
	not input.resource.properties.in_house
}

reasons contains {"code": "complexity.model_size", "msg": "the prompt asks for more than a small model gives"} if {
	complex
	input.resource.properties.size == "small"
}

reasons contains {"code": "budget.call", "msg": "the largest answer costs more than the budget for one call"} if {
	not affordable
}

complex if input.context.prompt.words > 40

complex if input.context.prompt.code

# A price or a budget that is unknown is none: then only what is free is affordable.
affordable if input.resource.properties.output_price == 0

affordable if {
	micros := (input.resource.properties.output_price * input.context.estimated.max_tokens) / 1000000
	micros <= input.subject.properties.budget_micros
}
