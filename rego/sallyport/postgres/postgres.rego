# METADATA
# title: Postgres, for the writers of policy
# description: |
#   Questions about the statement in `input`, each answered positively: what is undefined, empty or unknown is never
#   true here. Ask `not …` of them in a deny at will; in an allow, ask for what you want to see.
#
#       import data.sallyport.postgres
#       allow contains {"code": "readers"} if postgres.reads_only
# schemas:
# - input: schema.postgres
package sallyport.postgres

# METADATA
# title: Nothing is changed
# description: A read whose effects are known, of relations and columns, by functions that are known to have no effects.
reads_only if {
	input.operation.action == "read"
	_known
	_touches_only({"read", "execute", "use"})
}

# METADATA
# title: Nothing but rows is changed
# description: |
#   SELECT, INSERT, UPDATE, DELETE, MERGE and COPY between client and relation, alone or with others of the kind. No
#   TRUNCATE, no DDL, no files. Bounded or not: see `unbounded`.
rows_only if {
	input.operation.action in {"read", "write", "delete"}
	_known
	_touches_only({"read", "insert", "update", "delete", "execute", "use"})
	_kinds_only({"select", "insert", "update", "delete", "merge", "copy", "values", "table", "explain"} | _session_kinds)
}

# METADATA
# title: The session's own affairs
# description: |
#   BEGIN, COMMIT, harmless settings, cursors: what moves the session and neither reads nor changes anything. True for
#   connecting, too.
session_only if {
	input.operation.action in {"connect", "session"}
	not input.operation.opaque
	_touches_only({"use", "read"})
}

# METADATA
# title: Kinds of the statements
# description: '{"select", "begin"} for `BEGIN; SELECT …`. See the reference for the names.'
kinds contains statement.kind if some statement in input.operation.postgres.statements

# METADATA
# title: Relations by access
# description: '{"read": {"app.orders"}, "update": {"app.orders"}}, those behind views included.'
relations[resource.access] contains resource.name if {
	some resource in input.operation.resources
	resource.type == "relation"
}

# METADATA
# title: Relations that are changed
# description: Rows added, changed or removed; truncation included.
writes contains name if {
	some access in ["insert", "update", "delete", "truncate"]
	some name in relations[access]
}

# METADATA
# title: Whether a relation is touched, however
# description: 'By its qualified name: touches("app.orders").'
touches(relation) if {
	some names in relations
	relation in names
}

# METADATA
# title: Columns that are touched
# description: '{"app.orders.id": {"output", "predicate"}}: by name, what their values are used for.'
columns[resource.name] contains resource.use if {
	some resource in input.operation.resources
	resource.type == "column"
}

# METADATA
# title: Functions that are called
# description: 'By qualified name: {"pg_catalog.lower"}.'
functions contains resource.name if {
	some resource in input.operation.resources
	resource.type == "function"
}

# METADATA
# title: Statements that change every row
# description: The kinds of UPDATE and DELETE whose WHERE doesn't depend on the row, or that have none.
unbounded contains statement.kind if {
	some statement in input.operation.postgres.statements
	not statement.bounded
}

# METADATA
# title: Why an operation is opaque
# description: In words, from the gateway's own analysis.
because contains reason if {
	some statement in input.operation.postgres.statements
	some reason in statement.because
}

# METADATA
# title: Columns whose label asks for a mask
# description: |
#   {"app.customers.email": {"partial"}}: from data.classification.<target>.<column>, a label or a list of labels, by way
#   of data.masks.<label>. Labels whose mask is `none` are left out.
masks[resource.name] contains data.masks[label] if {
	classification := data.classification[input.target.name]
	some resource in input.operation.resources
	resource.type == "column"
	some label in _list(classification[resource.name])
	data.masks[label] != "none"
}

_list(value) := value if {
	is_array(value)
} else := [value]

_session_kinds := {
	"begin", "commit", "rollback", "savepoint", "release", "rollback_to", "set", "show", "reset",
	"declare", "fetch", "move", "close", "prepare", "execute", "deallocate",
}

# Understood whole, and there is something to understand.
_known if {
	input.operation.opaque == false
	count(input.operation.postgres.statements) > 0
	every statement in input.operation.postgres.statements {
		statement.opaque == false
	}
}

_touches_only(accesses) if {
	count(input.operation.resources) > 0
	every resource in input.operation.resources {
		resource.access in accesses
	}
}

_kinds_only(allowed) if {
	count(kinds) > 0
	count(kinds - allowed) == 0
}
