package sallyport.postgres_test

import data.sallyport.postgres

relation(name, access) := {"type": "relation", "name": name, "access": access}

column(name, use) := {"type": "column", "name": name, "access": "read", "use": use}

statement(kind) := {"kind": kind, "action": "read", "opaque": false, "bounded": true}

read := {
	"target": {"name": "orders"},
	"operation": {
		"action": "read",
		"opaque": false,
		"resources": [
			relation("app.orders", "read"), column("app.orders.id", "output"), column("app.orders.id", "predicate"),
			{"type": "function", "name": "pg_catalog.lower", "access": "execute"},
		],
		"postgres": {"statements": [statement("select")]},
	},
}

changed(operation) := object.union(read, {"operation": operation})

test_reads_only if {
	postgres.reads_only with input as read
}

test_what_is_not_reads_only if {
	every operation in [
		{"action": "write"},
		{"action": "session"},
		{"opaque": true},
		{"opaque": null},
		{"resources": []},
		{"resources": [relation("app.orders", "read"), relation("app.orders", "update")]},
		{"postgres": {"statements": []}},
		{"postgres": {"statements": [object.union(statement("select"), {"opaque": true})]}},
	] {
		not postgres.reads_only with input as changed(operation)
	}
}

test_nothing_is_true_of_nothing if {
	not postgres.reads_only with input as {}
	not postgres.rows_only with input as {}
	not postgres.session_only with input as {}
	not postgres.touches("app.orders") with input as {}
	count(postgres.kinds) == 0 with input as {}
	count(postgres.unbounded) == 0 with input as {}
	count(postgres.masks) == 0 with input as {}
}

test_rows_only if {
	every kind, access in {"select": "read", "insert": "insert", "update": "update", "delete": "delete", "copy": "insert"} {
		postgres.rows_only with input as changed({
			"action": "write",
			"resources": [relation("app.orders", access)],
			"postgres": {"statements": [statement("begin"), statement(kind)]},
		})
	}
}

test_what_is_not_rows_only if {
	every operation in [
		{"action": "define"},
		{"action": "transfer"},
		{"opaque": true},
		{"resources": []},
		{"resources": [relation("app.orders", "truncate")]},
		{"resources": [{"type": "file", "name": "/etc/passwd", "access": "define"}]},
		{"postgres": {"statements": []}},
		{"postgres": {"statements": [statement("select"), statement("create_table")]}},
	] {
		not postgres.rows_only with input as changed(operation)
	}
}

session := {
	"action": "session",
	"resources": [{"type": "session", "name": "session", "access": "use"}],
	"postgres": {"statements": []},
}

test_session_only if {
	every action in ["connect", "session"] {
		postgres.session_only with input as changed(object.union(session, {"action": action}))
	}
}

test_what_is_not_session_only if {
	every operation in [{"action": "read"}, {"opaque": true}, {"resources": []}, {"resources": [relation("r", "update")]}] {
		not postgres.session_only with input as changed(object.union(session, operation))
	}
}

test_kinds if {
	postgres.kinds == {"begin", "select"} with input as changed({"postgres": {"statements": [
		statement("begin"), statement("select"), statement("select"),
	]}})
}

writing := changed({"resources": [
	relation("app.a", "read"), relation("app.b", "insert"), relation("app.c", "update"),
	relation("app.d", "delete"), relation("app.e", "truncate"), relation("app.f", "define"),
]})

test_relations if {
	postgres.relations == {
		"read": {"app.a"}, "insert": {"app.b"}, "update": {"app.c"},
		"delete": {"app.d"}, "truncate": {"app.e"}, "define": {"app.f"},
	} with input as writing
}

test_writes if {
	postgres.writes == {"app.b", "app.c", "app.d", "app.e"} with input as writing
}

test_touches if {
	postgres.touches("app.a") with input as writing
	postgres.touches("app.f") with input as writing
	not postgres.touches("app.g") with input as writing
}

test_columns if {
	postgres.columns == {"app.orders.id": {"output", "predicate"}} with input as read
}

test_functions if {
	postgres.functions == {"pg_catalog.lower"} with input as read
}

test_unbounded if {
	postgres.unbounded == {"delete"} with input as changed({"postgres": {"statements": [
		statement("update"), {"kind": "delete", "bounded": false},
	]}})
}

test_because if {
	postgres.because == {"a DO block", "app.f() is not known"} with input as changed({"postgres": {"statements": [
		{"because": ["a DO block"]}, {"because": ["app.f() is not known"]}, statement("select"),
	]}})
}

test_masks_by_label_and_by_list if {
	postgres.masks == {"app.c.email": {"partial"}, "app.c.notes": {"partial", "redact"}} with input as changed({"resources": [
		column("app.c.email", "output"), column("app.c.notes", "output"), column("app.c.id", "output"),
		relation("app.c.email", "read"),
	]})
		with data.classification as {"orders": {
			"app.c.email": "contact", "app.c.notes": ["contact", "text", "public"], "app.c.id": "public",
		}}
		with data.masks as {"contact": "partial", "text": "redact", "public": "none"}
}
