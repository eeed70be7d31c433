# Which roles may call which tools, with which arguments: Oso's own resource blocks beside rules over arguments.

resource Tool {
    permissions = ["call_tool"];
    roles = ["reader", "operator"];
    "call_tool" if "reader";
    "reader" if "operator";
}

has_role(s: User, "reader", _: Tool{id: "search"}) if "analyst" in s.get("roles", []);
has_role(s: User, "operator", _: Tool) if "sre" in s.get("roles", []);

permit(s: User, "call_tool", tool: Tool, _) if has_permission(s, "call_tool", tool);

deny(_, "call_tool", _: Tool{id: "read_file"}, ctx, "tool.path") if
    path = ctx.tool.arguments.get("path", "") and
    (path.contains("..") or not path.startswith("/srv/reports/"));

obligation(_, "call_tool", _: Tool{id: "restart"}, _, {type: "require_approval", properties: {approvers: ["sre"]}});
