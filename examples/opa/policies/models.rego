# METADATA
# title: Who may call which model
package desk.models

import data.desk
import data.desk_config as config

decision := {"allow": count(reasons) == 0, "reasons": reasons, "obligations": obligations}

reasons contains {"code": "desk.suspended"} if desk.suspended

reasons contains {"code": "desk.tier", "msg": "the tier does not include this model"} if not included

included if input.resource.id in desk.tier.models

# What European customers write stays in Europe.
obligations contains {"type": "route", "properties": {"model": config.european}} if {
	input.subject.properties.region == "eu"
	input.resource.properties.region != "eu"
	config.european in desk.tier.models
}
