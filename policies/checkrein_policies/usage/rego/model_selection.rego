# METADATA
# title: Who may still call a model
# description: What was spent and this call stay under the limits of user and team; requests stay under the quota.
package checkrein.model_selection

import data.checkrein.config

decision := {"allow": false, "reasons": reasons} if {
	count(reasons) > 0
} else := {"allow": true, "obligations": obligations}

usage := input.context.usage

# Each budget that somebody set, by what its excess is called.
budgets["budget.exceeded"] := usage if usage.limit_micros != null

budgets["budget.team_exceeded"] := usage.team if usage.team.limit_micros != null

rated if usage.quota != null

reasons contains {"code": "usage.unknown", "msg": "nobody set a budget or a quota"} if {
	count(budgets) == 0
	not rated
}

reasons contains {"code": code, "msg": "what was spent and this call reach the limit"} if {
	some code, budget in budgets
	counted(budget)
	budget.spent_micros + cost >= budget.limit_micros
}

reasons contains {"code": "budget.unknown", "msg": "there is a limit, and nobody knows what was spent"} if {
	some budget in budgets
	not counted(budget)
}

# A rule of its own: `not` over a counter that is absent would be undefined, and refuse nothing.
# Of what is no number nothing is known: null and text would sort below and above every limit.
counted(budget) if {
	is_number(budget.spent_micros)
	is_number(budget.limit_micros)
}

reasons contains {"code": "budget.unknown", "msg": "there is a limit, and the price of this call is unknown"} if {
	count(budgets) > 0
	bounded
	not priced
}

reasons contains {"code": "rate.exceeded", "msg": "the quota of this hour is used up"} if {
	requests_counted
	usage.requests >= usage.quota
}

reasons contains {"code": "rate.unknown", "msg": "there is a quota, and nobody counted the requests"} if {
	rated
	not requests_counted
}

requests_counted if {
	is_number(usage.requests)
	is_number(usage.quota)
}

bounded if input.context.estimated.max_tokens != null

priced if is_number(input.context.estimated.cost_micros)

default cost := 0

cost := input.context.estimated.cost_micros if priced

# Of a call that may take any number of tokens nobody can say what it costs.
obligations contains {"type": "limit_tokens", "properties": {"max_tokens": config.max_tokens}} if {
	count(budgets) > 0
	not bounded
}
