package policy.http_test

import data.policy.http

asked(role, action, access) := {
	"principal": {"subject": "agent:a", "kind": "agent", "roles": [role], "purpose": "a test"},
	"operation": {
		"action": action,
		"opaque": false,
		"resources": [{"type": "path", "name": "/v1/machines", "access": access}],
		"http": {"method": "GET", "path": "/v1/machines", "segments": ["v1", "machines"], "query": {}, "credentials": []},
	},
}

codes(set) := {element.code | some element in set}

test_readers_read if {
	codes(http.allow) == {"http_read"} with input as asked("readonly", "read", "read")
}

test_readers_change_nothing if {
	count(http.allow) == 0 with input as asked("readonly", "write", "insert")
}

test_writers_change if {
	codes(http.allow) == {"http_write"} with input as asked("writer", "write", "insert")
}

test_nobody_else_does_anything if {
	count(http.allow) == 0 with input as asked("visitor", "read", "read")
}

test_what_is_opaque_is_denied if {
	codes(http.deny) == {"http_opaque"} with input as object.union(
		asked("writer", "write", "insert"),
		{"operation": {"opaque": true}},
	)
}

test_credentials_of_agents_are_denied if {
	codes(http.deny) == {"http_own_credential"} with input as object.union(
		asked("writer", "read", "read"),
		{"operation": {"http": {"credentials": ["authorization"]}}},
	)
	count(http.deny) == 0 with input as asked("writer", "read", "read")
}

test_deletions_wait if {
	codes(http.approval) == {"http_delete"} with input as asked("writer", "delete", "delete")
	count(http.approval) == 0 with input as asked("writer", "write", "insert")
}

tunnel(role) := object.union(asked(role, "connect", "use"), {"operation": {
	"opaque": true,
	"http": {"method": "CONNECT", "host": "pypi.example:443", "connect": {"host": "pypi.example", "port": 443}},
}})

test_tunnels_are_for_one_role if {
	codes(http.allow) == {"http_tunnel"} with input as tunnel("egress")
	count(http.deny) == 0 with input as tunnel("egress")
	count(http.allow) == 0 with input as tunnel("writer")
}

test_tunnels_that_are_looked_into_are_for_readers_and_writers if {
	inside := {"operation": {"opaque": false, "http": {"connect": {"intercepted": true}}}}
	codes(http.allow) == {"http_intercepted"} with input as object.union(tunnel("readonly"), inside)
	codes(http.allow) == {"http_intercepted"} with input as object.union(tunnel("writer"), inside)
	count(http.allow) == 0 with input as object.union(tunnel("visitor"), inside)
	count(http.deny) == 0 with input as object.union(tunnel("writer"), inside)
}

test_other_methods_are_denied if {
	codes(http.deny) == {"http_method"} with input as asked("writer", "administer", "administer")
}
