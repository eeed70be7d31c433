# METADATA
# title: The prompt itself
# description: Whoever asks for a model by its name, or is routed to it by another policy, is held to the same.
package checkrein.pre_prompt

import data.checkrein.routing

decision := {"allow": count(reasons) == 0, "reasons": reasons}

reasons contains routing.external if {
	routing.personal
	not input.resource.properties.in_house
}
