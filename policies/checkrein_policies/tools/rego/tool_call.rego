# METADATA
# title: Who may call which tool with which arguments
# description: Roles permit tools; arguments out of bounds, secrets in them and some tools are forbidden to everybody.
package checkrein.tool_call

import data.checkrein.config

# Undefined where no role has the tool and nothing forbids it: not applicable, which is denied.
decision := {"allow": false, "reasons": reasons} if {
	count(reasons) > 0
} else := {"allow": true, "obligations": obligations} if {
	permitted
}

tool := input.resource.id

given := input.context.tool.arguments

permitted if {
	# A mapping has members, too, but names nothing.
	is_array(input.subject.properties.roles)
	some role, names in config.roles
	role in input.subject.properties.roles
	some name in names
	name in {tool, "*"}
}

reasons contains {"code": "tool.forbidden", "msg": "nobody may let a model call this tool"} if {
	tool in config.forbidden
}

reasons contains {"code": "argument.unknown", "msg": "the tool is called with an argument that is not listed"} if {
	listed := config.arguments[tool]
	some name, _ in given
	not name in listed
}

reasons contains {"code": "argument.database", "msg": "reports are run on some databases alone"} if {
	tool == "run_report"
	not known_database
}

# Rules of their own: `not` over an argument that is absent would be undefined, and refuse nothing.
known_database if given.database in config.databases

reasons contains {"code": "argument.rows", "msg": "the number of rows is out of bounds, or missing"} if {
	tool == "run_report"
	not rows_within
}

rows_within if within(given.rows, config.max_rows)

reasons contains {"code": "argument.to", "msg": "mail goes to one address of our own domain"} if {
	tool == "send_email"
	not ours
}

reasons contains {"code": "argument.copies", "msg": "mail goes to one address and has no copies"} if {
	tool == "send_email"
	some name in ["bcc", "cc"]
	given[name] != null
}

reasons contains {"code": "argument.amount_cents", "msg": "the amount is out of bounds, or missing"} if {
	tool == "refund"
	not amount_within
}

amount_within if within(given.amount_cents, config.refund.approved)

reasons contains {"code": code, "msg": "the arguments hold a secret"} if {
	some finding in input.context.findings
	finding.type in config.secrets
	code := concat(".", ["secret", finding.type])
}

# A model writes what it likes: text and null sort above and below every number.
within(value, limit) if {
	is_number(value)
	value == floor(value)
	value >= 1
	value <= limit
}

# One address: what ends in our domain could begin with another's.
ours if {
	is_string(given.to)
	endswith(given.to, config.mail_domain)
	count(split(given.to, "@")) == 2
	not parted
}

parted if {
	some part in [",", ";", " "]
	contains(given.to, part)
}

obligations contains {"type": "require_approval", "properties": {"approvers": config.approvers}} if {
	tool == "refund"
	given.amount_cents > config.refund.free
}
