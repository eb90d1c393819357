# METADATA
# title: What the corpus is run under
# description: |
#   Agents read, some write, a few build in the schema scratch; personal data is masked for all of them. Nothing is said of
#   the catalog: that it doesn't show what is masked is the gateway's own business.
package policy.postgres

_roles := input.principal.roles

_reads_only if {
	input.operation.action == "read"
	not input.operation.opaque
	count(input.operation.resources) > 0
	every resource in input.operation.resources {
		resource.access in {"read", "execute", "use"}
	}
}

allow contains {"code": "reads"} if {
	"readonly" in _roles
	_reads_only
}

allow contains {"code": "session"} if {
	input.operation.action in {"connect", "session"}
	"readonly" in _roles
}

allow contains {"code": "writes"} if {
	"writer" in _roles
	not input.operation.opaque
	count(input.operation.postgres.statements) > 0
	every statement in input.operation.postgres.statements {
		statement.kind in {"select", "insert", "update", "delete", "merge", "copy", "explain"}
		statement.bounded
	}
}

allow contains {"code": "builds"} if {
	"builder" in _roles
	not input.operation.opaque
	some _, made in input.operation.resources
	not made.access in {"read", "use", "execute"}
	count(input.operation.resources) > 0
	every resource in input.operation.resources {
		_buildable(resource)
	}
}

_buildable(resource) if resource.access in {"read", "use", "execute"}

_buildable(resource) if {
	some prefix in ["scratch.", "pg_temp"]
	startswith(resource.name, prefix)
}

_buildable(resource) if {
	resource.type == "schema"
	resource.name in {"scratch", "pg_temp"}
}

deny contains {"code": "secrets_denied", "message": sprintf("%s is not for agents", [resource.name])} if {
	some resource in input.operation.resources
	resource.type == "relation"
	resource.name in data.denied
}

mask contains {"resource": resource.name, "with": data.masks[label], "code": "pii_masked"} if {
	some resource in input.operation.resources
	resource.type == "column"
	label := data.classification[input.target.name][resource.name]
	not label in data.on_the_way_out
}

mask contains {"resource": resource.name, "with": data.masks[label], "scope": "output", "code": "pii_masked_output"} if {
	some resource in input.operation.resources
	resource.type == "column"
	label := data.classification[input.target.name][resource.name]
	label in data.on_the_way_out
}

filter contains {"resource": resource.name, "where": data.filters[resource.name], "code": "own_region"} if {
	some resource in input.operation.resources
	resource.type == "relation"
}
