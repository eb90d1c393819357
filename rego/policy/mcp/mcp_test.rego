package policy.mcp_test

import data.policy.mcp

asked(role, action, own) := {
	"principal": {"subject": "agent:a", "kind": "agent", "roles": [role], "purpose": "a test"},
	"operation": {
		"action": action,
		"mcp": object.union({"method": "tools/list", "from": "client"}, own),
	},
}

call(role, own) := asked(role, "execute", object.union({"method": "tools/call", "tool": "search", "pin": "seen"}, own))

reads := {"annotations": {"readOnlyHint": true}}

codes(set) := {element.code | some element in set}

test_readers_and_writers_begin_and_look if {
	codes(mcp.allow) == {"mcp_session"} with input as asked("readonly", "connect", {"method": "initialize"})
	codes(mcp.allow) == {"mcp_look"} with input as asked("writer", "read", {})
	count(mcp.allow) == 0 with input as asked("visitor", "read", {})
}

test_readers_call_what_changes_nothing if {
	codes(mcp.allow) == {"mcp_read"} with input as call("readonly", reads)
	count(mcp.allow) == 0 with input as call("readonly", {})
	count(mcp.allow) == 0 with input as call("readonly", object.union(reads, {"pin": "changed"}))
}

test_writers_call_tools if {
	codes(mcp.allow) == {"mcp_call"} with input as call("writer", {})
	count(mcp.allow) == 0 with input as call("writer", {"pin": "unknown"})
}

test_what_may_destroy_waits if {
	some approval in mcp.approval with input as call("writer", {})
	approval.reason == "calls search"
	count(mcp.approval) == 0 with input as call("writer", reads)
	count(mcp.approval) == 0 with input as call("writer", {"annotations": {"destructiveHint": false}})
}

test_servers_ask_nothing if {
	question := {"method": "sampling/createMessage", "from": "server"}
	codes(mcp.deny) == {"mcp_server_asks"} with input as asked("writer", "transfer", question)
	count(mcp.allow) == 0 with input as asked("writer", "transfer", question)
	count(mcp.deny) == 0 with input as call("writer", {})
}
