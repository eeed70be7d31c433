# Support finds customers, searches the handbook and makes refunds; large ones are approved by finance.
package checkrein.tool_call

decision := {"allow": false, "reasons": [{"code": "tool.forbidden", "msg": "nobody lets a model do this"}]} if {
	input.resource.id == "delete_customer"
} else := {"allow": true, "obligations": obligations} if {
	"support" in input.subject.properties.roles
	input.resource.id in {"find_customer", "handbook", "refund", "summarise"}
}

obligations contains {"type": "require_approval", "properties": {"approvers": ["fay", "finn"]}} if {
	input.resource.id == "refund"
	not small
}

# A rule of its own: `not` over an amount that is absent would be undefined, and ask nobody.
small if {
	is_number(input.context.tool.arguments.amount_cents)
	input.context.tool.arguments.amount_cents <= 5000
}
