# Who may call which tool with which arguments: roles permit, and a deny beats every one of them.

permit(s, "call_tool", tool, _) if
    roles = s.get("roles") and roles matches List and
    role in roles and grants(role, tool.id);

grants("analyst", "run_report");
grants("analyst", "search_documents");
grants("support", "refund");
grants("support", "search_documents");
grants("support", "send_email");
grants("admin", _);

deny(_, "call_tool", tool, _, reason) if
    tool.id in ["delete_customer", "run_shell"] and
    reason = {code: "tool.forbidden", message: "nobody may let a model call this tool"};

# Arguments
deny(_, "call_tool", tool, ctx, reason) if
    listed(tool.id, names) and
    name in ctx.tool.arguments.keys() and
    not name in names and
    reason = {code: "argument.unknown", message: "the tool is called with an argument that is not listed"};

listed("refund", ["amount_cents", "customer"]);
listed("run_report", ["database", "rows"]);
listed("search_documents", ["query"]);
listed("send_email", ["bcc", "body", "cc", "subject", "to"]);

deny(_, "call_tool", tool, ctx, reason) if
    tool.id = "run_report" and
    not ctx.tool.arguments.get("database") in ["sales", "support"] and
    reason = {code: "argument.database", message: "reports are run on some databases alone"};

deny(_, "call_tool", tool, ctx, reason) if
    tool.id = "run_report" and
    not within(ctx.tool.arguments.get("rows"), 1000) and
    reason = {code: "argument.rows", message: "the number of rows is out of bounds, or missing"};

deny(_, "call_tool", tool, ctx, reason) if
    tool.id = "send_email" and
    not ours(ctx.tool.arguments.get("to")) and
    reason = {code: "argument.to", message: "mail goes to one address of our own domain"};

deny(_, "call_tool", tool, ctx, reason) if
    tool.id = "send_email" and
    name in ["bcc", "cc"] and
    not ctx.tool.arguments.get(name) = nil and
    reason = {code: "argument.copies", message: "mail goes to one address and has no copies"};

deny(_, "call_tool", tool, ctx, reason) if
    tool.id = "refund" and
    not within(ctx.tool.arguments.get("amount_cents"), 100000) and
    reason = {code: "argument.amount_cents", message: "the amount is out of bounds, or missing"};

# A model writes what it likes: text, a part of a cent, less than nothing.
within(value, limit) if value matches Integer and value >= 1 and value <= limit;

# One address: what ends in our domain could begin with another's. Polar cannot count the `@` in a string, so that
# what parts two addresses is refused.
ours(to) if
    to matches String and
    to.endswith("@example.com") and
    not parted(to);
parted(to) if part in [",", ";", " ", "\t", "\r", "\n"] and to.contains(part);

# Secrets, in whatever argument
deny(_, "call_tool", _, ctx, reason) if
    secret(kind, code) and
    kind in ctx.found and
    reason = {code: code, message: "the arguments hold a secret"};

secret("api_key", "secret.api_key");
secret("password", "secret.password");
secret("private_key", "secret.private_key");

# Approvals
obligation(_, "call_tool", tool, ctx, {type: "require_approval", properties: {approvers: ["finance"]}}) if
    tool.id = "refund" and ctx.tool.arguments.amount_cents > 10000;

# Tests
?= permit(new User("ann", {roles: ["analyst"]}), "call_tool", new Tool("run_report", {}), new Context({}));
?= not permit(new User("ann", {roles: ["analyst"]}), "call_tool", new Tool("refund", {}), new Context({}));
?= permit(new User("root", {roles: ["admin"]}), "call_tool", new Tool("lookup", {}), new Context({}));
?= deny(new User("root", {roles: ["admin"]}), "call_tool", new Tool("run_shell", {}), new Context({tool: {arguments: {}}}), _);
?= ours("jo@example.com");
?= not ours("jo@example.org");
?= not ours("mal@evil.test,jo@example.com");
?= within(1, 1);
?= not within(0, 1);
?= not within("1", 1);
