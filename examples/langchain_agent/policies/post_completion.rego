# What the model says, in text or in the arguments of tools, is said without social security numbers.
package checkrein.post_completion

decision := {"allow": true, "obligations": [{"type": "redact", "properties": {"types": ["us_ssn"]}}]}
