# What tools find is given to the model without social security numbers; what is confidential is not given.
package checkrein.tool_result

decision := {"allow": false, "reasons": [{"code": "document.confidential"}]} if {
	input.resource.type == "retriever"
	contains(lower(input.context.result.text), "confidential")
} else := {"allow": true, "obligations": [{"type": "redact", "properties": {"types": ["us_ssn"]}}]}
