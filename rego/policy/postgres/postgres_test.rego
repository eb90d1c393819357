package policy.postgres_test

import data.policy.postgres

reader := {"kind": "agent", "roles": ["readonly"]}

writer := {"kind": "agent", "roles": ["writer"]}

relation(name, access) := {"type": "relation", "name": name, "access": access}

statement(kind) := {"kind": kind, "opaque": false, "bounded": true}

asked(principal, action, kind, resources) := {
	"principal": principal,
	"target": {"name": "orders"},
	"operation": {
		"action": action,
		"opaque": false,
		"resources": resources,
		"postgres": {"statements": [statement(kind)]},
	},
}

allowed(document) := codes if {
	codes := {reason.code | some reason in postgres.allow} with input as document
}

denied(document) := codes if {
	codes := {reason.code | some reason in postgres.deny} with input as document
}

select := [relation("app.orders", "read")]

test_readers_connect_and_read if {
	allowed(asked(reader, "connect", "connect", [{"type": "database", "name": "shop", "access": "use"}])) == {"pg_session"}
	allowed(asked(reader, "session", "begin", [{"type": "session", "name": "session", "access": "use"}])) == {"pg_session"}
	allowed(asked(reader, "read", "select", select)) == {"pg_read"}
	denied(asked(reader, "read", "select", select)) == set()
}

test_readers_do_not_write if {
	allowed(asked(reader, "write", "update", [relation("app.orders", "update")])) == set()
}

test_writers_write if {
	allowed(asked(writer, "write", "update", [relation("app.orders", "update")])) == {"pg_write"}
	allowed(asked(writer, "delete", "delete", [relation("app.orders", "delete")])) == {"pg_write"}
	allowed(asked(writer, "read", "select", select)) == {"pg_read", "pg_write"}
}

test_who_has_no_role_does_nothing if {
	nobody := {"kind": "human", "roles": ["other"]}
	allowed(asked(nobody, "session", "begin", [{"type": "session", "name": "session", "access": "use"}])) == set()
	allowed(asked(nobody, "read", "select", select)) == set()
}

test_opaque_is_denied_with_its_reasons if {
	document := {"operation": {
		"action": "execute", "opaque": true, "resources": [],
		"postgres": {"statements": [{"because": ["A DO block runs code."]}]},
	}}
	postgres.deny == {{
		"code": "pg_opaque",
		"message": "The effects of this can't be known. A DO block runs code.",
	}} with input as document
}

test_definitions_are_denied if {
	denied(asked(writer, "define", "create_table", [relation("app.t", "define")])) == {"pg_define"}
	denied(asked(writer, "define", "create_table_as", select)) == {"pg_define"}
}

test_administration_is_denied if {
	denied(asked(writer, "administer", "grant", [{"type": "role", "name": "r", "access": "administer"}])) == {"pg_administer"}
}

test_truncation_is_denied if {
	denied(asked(writer, "delete", "truncate", [relation("app.orders", "truncate")])) == {"pg_truncate"}
}

test_files_and_programs_are_denied if {
	every type in ["file", "program"] {
		document := asked(writer, "transfer", "copy", [{"type": type, "name": "x", "access": "execute"}])
		denied(document) == {"pg_server_files"}
	}
}

test_secrets_of_the_catalog_are_denied if {
	denied(asked(reader, "read", "select", [relation("pg_catalog.pg_authid", "read")])) == {"pg_catalog_secrets"}
	denied(asked(reader, "read", "select", [relation("pg_catalog.pg_class", "read")])) == set()
}

test_unbounded_writes_wait if {
	document := object.union(
		asked(writer, "delete", "delete", [relation("app.orders", "delete")]),
		{"operation": {"postgres": {"statements": [{"kind": "delete", "opaque": false, "bounded": false}]}}},
	)
	postgres.approval == {{
		"code": "pg_unbounded_write", "groups": ["dba"], "quorum": 1, "expires": "15m",
		"reason": "DELETE without a WHERE that depends on the row",
	}} with input as document
}

test_bounded_writes_do_not_wait if {
	postgres.approval == set() with input as asked(writer, "delete", "delete", [relation("app.orders", "delete")])
}

email := {"type": "column", "name": "app.customers.email", "access": "read", "use": "output"}

masked(principal) := masks if {
	masks := postgres.mask with input as asked(principal, "read", "select", [email])
		with data.classification as {"orders": {"app.customers.email": "contact"}}
		with data.masks as {"contact": "partial"}
}

test_personal_data_is_masked if {
	masked(reader) == {{"code": "pg_masked", "resource": "app.customers.email", "with": "partial"}}
}

test_people_may_see_clear_but_agents_never if {
	masked({"kind": "human", "roles": ["unmasked"]}) == set()
	count(masked({"kind": "human", "roles": ["readonly"]})) == 1
	count(masked({"kind": "agent", "roles": ["unmasked"]})) == 1
}

test_procedures_are_not_called if {
	denied(asked(writer, "execute", "call", [{"type": "function", "name": "app.close_month", "access": "execute"}])) == {"pg_execute"}
	denied(asked(writer, "write", "update", [relation("app.orders", "update")])) == set()
}
