# METADATA
# title: The prompt itself
# description: Asked on every attempt, fallbacks included, about the model that is about to be called.
package checkrein.pre_prompt

import data.checkrein.routing

decision := {"allow": count(reasons) == 0, "reasons": reasons}

reasons contains routing.external if {
	routing.personal
	not input.resource.properties.in_house
}
