# METADATA
# title: Who may call which model
# description: Tiers by size and price, the budget, and routing by how much the prompt asks for.
package checkrein.model_selection

import data.checkrein.baseline
import data.checkrein.config

decision := {"allow": count(reasons) == 0, "reasons": reasons, "obligations": obligations}

reasons contains {"code": "tier.unknown", "msg": "the subject has no known tier"} if not baseline.tier

reasons contains {"code": "tier.model_size", "msg": "the tier does not include models of this size"} if {
	baseline.tier
	not included
}

# A rule of its own: negated in place, an unknown size would leave the reason undefined, and nothing would deny.
included if input.resource.properties.size in baseline.tier.sizes

reasons contains {"code": "tier.model_price", "msg": "the model costs more than the tier includes, or nobody knows"} if {
	baseline.tier.price_limit
	not affordable
}

reasons contains {"code": "budget.exceeded", "msg": "the budget does not cover this call"} if {
	counted
	input.context.usage.spent_micros + cost >= input.context.usage.limit_micros
}

reasons contains {"code": "budget.unknown", "msg": "there is a budget, and what it says is no number"} if {
	input.context.usage.spent_micros != null
	input.context.usage.limit_micros != null
	not counted
}

# Of what is no number nothing is known: text would sort above every limit.
counted if {
	is_number(input.context.usage.spent_micros)
	is_number(input.context.usage.limit_micros)
}

default cost := 0

cost := input.context.estimated.cost_micros

affordable if {
	within_limit("input_price")
	within_limit("output_price")
}

# A price that is no number is no price: null would sort below every limit.
within_limit(key) if {
	is_number(input.resource.properties[key])
	input.resource.properties[key] <= baseline.tier.price_limit
}

obligations contains {"type": "route", "properties": {"model": better}} if {
	"route" in input.context.supported_obligations
	better != input.resource.id
}

# Where `config.routes` names no model, nothing is routed.
better := config.routes.local if {
	short
	input.subject.properties.privacy_preference == "high"
} else := config.routes.strong[input.subject.properties.tier] if {
	complex
	input.resource.properties.size == "small"
}

short if {
	input.context.prompt.words <= config.complexity.short_words
	not input.context.prompt.code
}

complex if input.context.prompt.words > config.complexity.long_words

complex if input.context.prompt.code
