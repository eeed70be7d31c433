"""A policy of tiers, its data, and the codes of its reasons."""

DECISION = """
default decision := {"allow": false, "reasons": [{"code": "tier.unknown", "msg": "no tier"}]}

decision := {"allow": true, "obligations": obligations} if input.tier in data.limits.tiers

obligations contains {"type": "redact", "properties": {"types": [kind]}} if {
	some finding in input.findings
	kind := finding.type
}
"""
DATA = '{"limits": {"tiers": ["pro", "free"]}}'


def codes(verdict):
    return [reason.code for reason in verdict.reasons]
