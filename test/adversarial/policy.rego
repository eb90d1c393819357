# The policy that attempts.yaml tries to get around: agents read anything but what is secret, and write app.orders within
# bounds; builders also make things in the schema scratch and temporary ones; jobs may call two functions that are opaque.
package policy.postgres

allow contains {"code": "session"} if {
	input.operation.action in {"connect", "session"}
	not input.operation.opaque
}

allow contains {"code": "reads"} if {
	input.operation.action == "read"
	not input.operation.opaque
}

allow contains {"code": "writes"} if {
	input.operation.action in {"write", "delete"}
	not input.operation.opaque
	every statement in input.operation.postgres.statements {
		statement.bounded
		statement.kind != "truncate"
	}
	every resource in input.operation.resources {
		_harmless(resource)
	}
}

_harmless(resource) if resource.access in {"read", "use", "execute"}

_harmless(resource) if {
	resource.type in {"relation", "column"}
	_own(resource.name)
}

_own("app.orders")

_own(name) if startswith(name, "app.orders.")

_own(name) if {
	"builders" in input.principal.groups
	some prefix in ["scratch.", "pg_temp"]
	startswith(name, prefix)
}

allow contains {"code": "builds"} if {
	"builders" in input.principal.groups
	input.operation.action in {"define", "write", "delete"}
	not input.operation.opaque
	every resource in input.operation.resources {
		_buildable(resource)
	}
}

_buildable(resource) if resource.access in {"read", "use", "execute"}

_buildable(resource) if {
	some prefix in ["scratch.", "pg_temp"]
	startswith(resource.name, prefix)
}

allow contains {"code": "jobs"} if {
	"jobs" in input.principal.groups
	count(input.operation.postgres.statements) > 0
	every statement in input.operation.postgres.statements {
		_job(statement)
	}
	every resource in input.operation.resources {
		resource.access in {"read", "use", "execute"}
	}
}

_job(statement) if not statement.opaque

_job(statement) if {
	count(statement.functions) > 0
	every name in statement.functions {
		name in {"app.job", "app.job_cursor"}
	}
}

# Only the first orders are for interns: a rule that looks at the values of parameters.
allow contains {"code": "interns"} if {
	"interns" in input.principal.groups
	input.operation.stage == "prepare"
}

deny contains {"code": "intern"} if {
	"interns" in input.principal.groups
	input.operation.stage == "execute"
	some parameter in input.operation.postgres.parameters
	to_number(parameter) > 5
}

deny contains {"code": "secrets", "message": "secrets are not for agents"} if {
	some resource in input.operation.resources
	resource.type in {"relation", "column"}
	_secret(resource.name)
}

_secret(name) if {
	some prefix in ["app.secrets", "app.secret_documents", "app.events_secret", "app.secret_children", "app.secret_heirs"]
	_within(name, prefix)
}

_within(name, name)

_within(name, prefix) if startswith(name, concat("", [prefix, "."]))

deny contains {"code": "catalog"} if {
	some resource in input.operation.resources
	resource.type == "relation"
	resource.name in {
		"pg_catalog.pg_authid", "pg_catalog.pg_shadow", "pg_catalog.pg_statistic", "pg_catalog.pg_stats",
		"pg_catalog.pg_statistic_ext_data", "pg_catalog.pg_stats_ext", "pg_catalog.pg_stats_ext_exprs",
		"pg_catalog.pg_stat_activity", "pg_catalog.pg_largeobject", "pg_catalog.pg_hba_file_rules",
		"pg_catalog.pg_file_settings", "pg_catalog.pg_user_mapping",
	}
}
