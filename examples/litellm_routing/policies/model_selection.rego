# METADATA
# title: Which model answers
# description: |
#   Whoever asks for the small model, which `auto` stands for, leaves the choice to this policy; whoever asks for
#   another one gets that one or none. What it chooses is asked about again, under its own name.
package checkrein.model_selection

import data.checkrein.routing

decision := {"allow": count(denials) == 0, "reasons": denials | told, "obligations": obligations}

default choice := {"model": "small", "reasons": []}

choice := {"model": "local", "reasons": [{"code": "privacy"}]} if {
	routing.personal
} else := {"model": "large", "reasons": [{"code": "complexity"}]} if {
	complex
	affordable
} else := {"model": "local", "reasons": [{"code": "complexity"}, {"code": "budget"}]} if {
	complex
}

chosen if {
	input.resource.id == "small"
	choice.model != "small"
}

obligations contains {"type": "route", "properties": {"model": choice.model}} if chosen

told contains reason if {
	chosen
	some reason in choice.reasons
}

denials contains routing.external if {
	not chosen
	routing.personal
	not input.resource.properties.in_house
}

denials contains {"code": "budget.spent", "msg": "nine tenths of the budget are spent"} if {
	input.resource.properties.size == "large"
	not affordable
}

complex if input.context.prompt.words > 40

complex if input.context.prompt.code

# Whose budget is unknown has none.
affordable if input.context.usage.spent_micros * 10 < input.context.usage.limit_micros * 9
