# METADATA
# title: Who may call which model
# description: Tiers, roles and groups permit; price, clearance, tenant and residency forbid, whatever permits.
package checkrein.model_selection

import data.checkrein.config

# Undefined where nothing permits and nothing forbids: not applicable, which is denied.
decision := {"allow": false, "reasons": forbidden} if {
	count(forbidden) > 0
} else := {"allow": true} if {
	permitted
}

who := input.subject.properties

model := input.resource.properties

# Tiers
permitted if {
	who.tier == "free"
	model.size == "small"
}

permitted if {
	who.tier == "pro"
	model.size in {"small", "medium"}
}

permitted if who.tier == "enterprise"

# Roles and groups. A mapping has members, too, but names nothing.
listed(names) := names if is_array(names)

permitted if {
	"developer" in listed(who.roles)
	model.size == "small"
}

permitted if {
	"data_scientist" in listed(who.roles)
	input.resource.id in config.model_groups.research_models
}

permitted if "admin" in listed(who.roles)

permitted if {
	"assistants" in listed(who.groups)
	input.resource.id in config.model_groups.gpt4_models
}

forbidden contains {"code": "tier.model_price", "msg": "the model costs more than the tier includes, or nobody knows"} if {
	who.tier == "free"
	not affordable
}

affordable if {
	within_limit(model.input_price)
	within_limit(model.output_price)
}

# A price that is no number is no price: null would sort below every limit.
within_limit(price) if {
	is_number(price)
	price <= config.price_limit
}

forbidden contains {"code": "clearance.insufficient", "msg": "the subject's clearance is below the model's classification"} if {
	model.classification != null
	not cleared
}

cleared if model.classification == config.levels[0]

cleared if {
	some have, own in config.levels
	own == who.clearance
	some need, asked in config.levels
	asked == model.classification
	have >= need
}

forbidden contains {"code": "tenant.other", "msg": "the model belongs to another tenant"} if {
	model.tenant != null
	not same_tenant
}

same_tenant if who.tenant == model.tenant

forbidden contains {"code": "residency.region", "msg": "data of this class may not go to the model's region"} if {
	some class in classes
	not may_have(class)
}

# A rule of its own: `not` over an operand that is absent would be undefined, and forbid nothing.
may_have(class) if model.region in config.residency[class][who.region]

classes contains who.data_class if who.data_class != null

classes contains "personal" if {
	some finding in input.context.findings
	finding.type in config.personal
}
