package sallyport.http_test

import data.sallyport.http

asked(action, access, extra) := {"operation": {
	"action": action,
	"opaque": false,
	"resources": [
		{"type": "host", "name": "api:443", "access": "use"},
		{"type": "path", "name": "/v1/users/7", "access": access},
	],
	"http": object.union(
		{"method": "GET", "path": "/v1/users/7", "segments": ["v1", "users", "7"], "query": {}, "credentials": []},
		extra,
	),
}}

opaque(asked) := object.union(asked, {"operation": {"opaque": true}})

test_a_read_reads_only if {
	http.reads_only with input as asked("read", "read", {})
}

test_what_writes_or_is_opaque_does_not_read_only if {
	not http.reads_only with input as asked("write", "insert", {})
	not http.reads_only with input as asked("read", "delete", {})
	not http.reads_only with input as opaque(asked("read", "read", {}))
	not http.reads_only with input as {"operation": {"action": "read", "opaque": false, "resources": [], "http": {"method": "GET"}}}
}

test_changes_are_understood_or_none if {
	http.changes_only with input as asked("write", "insert", {})
	http.changes_only with input as asked("delete", "delete", {})
	not http.changes_only with input as asked("administer", "administer", {})
	not http.changes_only with input as opaque(asked("write", "insert", {}))
}

test_paths_are_compared_by_segments if {
	http.below(["v1"]) with input as asked("read", "read", {})
	http.below(["v1", "users", "7"]) with input as asked("read", "read", {})
	http.below(["v1", "*"]) with input as asked("read", "read", {})
	not http.below(["v1", "user"]) with input as asked("read", "read", {})
	not http.below(["v1", "users", "7", "keys"]) with input as asked("read", "read", {})
	not http.below(["v1", "users", "7", "*"]) with input as asked("read", "read", {"segments": ["v1", "users", "7", ""]})
}

test_at_is_the_whole_path if {
	http.at(["v1", "users", "*"]) with input as asked("read", "read", {})
	not http.at(["v1", "users"]) with input as asked("read", "read", {})
}

test_parameters_are_sets_of_values if {
	http.parameters.id == {"1", "2"} with input as asked("read", "read", {"query": {"id": ["1", "2"]}})
	not http.parameters.other with input as asked("read", "read", {"query": {"id": ["1"]}})
}

test_fields_of_whatever_case if {
	fields := http.fields with input as asked("write", "insert", {"body": {"kind": "json", "json": {"Role": "admin", "n": 1}}})
	fields.role == {"admin"}
	count(http.fields) == 0 with input as asked("write", "insert", {"body": {"kind": "json", "json": ["a"]}})
}

test_a_credential_of_the_client if {
	http.own_credential with input as asked("read", "read", {"credentials": ["authorization"]})
	not http.own_credential with input as asked("read", "read", {})
}

tunnel(method, action) := {"operation": {"action": action, "http": {
	"method": method,
	"host": "pypi.example:443",
	"connect": {"host": "pypi.example", "port": 443},
}}}

test_a_tunnel_is_one_by_its_method if {
	http.tunnel with input as tunnel("CONNECT", "connect")
	not http.tunnel with input as tunnel("GET", "connect")
	not http.tunnel with input as tunnel("CONNECT", "read")
	not http.tunnel with input as asked("connect", "use", {})
}

test_a_tunnel_is_looked_into_where_it_says_so if {
	inside := {"operation": {"opaque": false, "http": {"connect": {"intercepted": true}}}}
	http.intercepted with input as object.union(tunnel("CONNECT", "connect"), inside)
	not http.intercepted with input as object.union(tunnel("GET", "connect"), inside)
	not http.intercepted with input as tunnel("CONNECT", "connect")
}

test_a_tunnel_leads_to_one_of_the_places if {
	http.tunnel_to({"pypi.example:443", "other.example:443"}) with input as tunnel("CONNECT", "connect")
	not http.tunnel_to({"pypi.example:8443"}) with input as tunnel("CONNECT", "connect")
	not http.tunnel_to({"pypi.example:443"}) with input as tunnel("GET", "connect")
}
