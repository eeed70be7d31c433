# What goes to the model, typed by people or found by tools, goes without social security numbers.
package checkrein.pre_prompt

decision := {"allow": true, "obligations": [{"type": "redact", "properties": {"types": ["us_ssn"]}}]}
