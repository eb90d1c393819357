package sallyport.mcp_test

import data.sallyport.mcp

asked(action, own) := {"operation": {
	"action": action,
	"mcp": object.union({"method": "tools/call", "from": "client", "server": "tracker.example:443"}, own),
}}

call(own) := asked("execute", object.union({"tool": "search", "arguments": {}, "pin": "seen"}, own))

test_the_tool_is_that_of_a_client_s_call if {
	mcp.tool == "search" with input as call({})
	not mcp.tool with input as call({"from": "server"})
	not mcp.tool with input as asked("read", {"method": "tools/list"})
}

test_moving_is_no_looking if {
	mcp.moves_only with input as asked("connect", {"method": "initialize"})
	mcp.moves_only with input as asked("session", {"method": "ping"})
	not mcp.moves_only with input as asked("read", {"method": "tools/list"})
	not mcp.moves_only with input as asked("session", {"from": "server"})
}

test_looking_is_no_call if {
	mcp.looks_only with input as asked("read", {"method": "tools/list"})
	not mcp.looks_only with input as call({})
	not mcp.looks_only with input as asked("read", {"from": "server"})
}

test_only_a_tool_that_is_what_it_was_is_trusted if {
	mcp.trusted with input as call({})
	mcp.trusted with input as call({"pin": "pinned"})
	not mcp.trusted with input as call({"pin": "changed"})
	not mcp.trusted with input as call({"pin": "unknown"})
}

test_a_server_s_word_counts_only_for_what_is_trusted if {
	mcp.says_reads_only with input as call({"annotations": {"readOnlyHint": true}})
	not mcp.says_reads_only with input as call({"pin": "changed", "annotations": {"readOnlyHint": true}})
	not mcp.says_reads_only with input as call({"annotations": {}})
}

test_what_says_nothing_may_destroy if {
	mcp.may_destroy with input as call({})
	mcp.may_destroy with input as call({"annotations": {"destructiveHint": true}})
	mcp.may_destroy with input as call({"pin": "changed", "annotations": {"destructiveHint": false}})
	not mcp.may_destroy with input as call({"annotations": {"destructiveHint": false}})
	not mcp.may_destroy with input as call({"annotations": {"readOnlyHint": true}})
	not mcp.may_destroy with input as asked("read", {"method": "tools/list"})
}

test_pinned_is_more_than_seen if {
	mcp.pinned with input as call({"pin": "pinned"})
	not mcp.pinned with input as call({})
}

test_what_servers_ask_is_told_apart if {
	mcp.asked_by_server == "roots/list" with input as asked("transfer", {"method": "roots/list", "from": "server"})
	not mcp.asked_by_server with input as call({})
}
