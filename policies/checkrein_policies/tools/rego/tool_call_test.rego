package checkrein.tool_call_test

import data.checkrein.tool_call

calls(role, tool, arguments) := {
	"subject": {"type": "user", "id": "alice", "properties": {"roles": [role]}},
	"resource": {"type": "tool", "id": tool, "properties": {}},
	"context": {"tool": {"arguments": arguments}, "findings": []},
}

codes := {reason.code | some reason in tool_call.decision.reasons}

test_a_role_has_its_tools if {
	tool_call.decision.allow with input as calls("analyst", "search_documents", {"query": "tack"})
}

test_a_role_has_no_others if not tool_call.decision with input as calls("analyst", "lookup", {})

test_an_admin_has_every_tool if tool_call.decision.allow with input as calls("admin", "lookup", {})

test_but_the_forbidden_ones if codes == {"tool.forbidden"} with input as calls("admin", "run_shell", {})

test_text_is_no_amount if {
	codes == {"argument.amount_cents"} with input as calls("support", "refund", {"amount_cents": "1"})
}

test_a_part_of_a_cent_is_no_amount if {
	codes == {"argument.amount_cents"} with input as calls("support", "refund", {"amount_cents": 1.5})
}

test_a_large_refund_needs_an_approval if {
	obligations := tool_call.decision.obligations with input as calls(
		"support", "refund",
		{"amount_cents": 10001},
	)
	obligations == {{"type": "require_approval", "properties": {"approvers": ["finance"]}}}
}

test_two_addresses_are_not_ours if {
	codes == {"argument.to"} with input as calls("support", "send_email", {"to": "a@evil.test,b@example.com"})
}

test_an_argument_that_is_not_listed if {
	codes == {"argument.unknown"} with input as calls("support", "search_documents", {"query": "a", "index": "b"})
}
