package policy.postgres

import data.sallyport.postgres

# METADATA
# title: What can't be understood isn't run
# description: |
#   DO blocks, functions whose bodies aren't known to be safe, names that nothing stands for.
# custom:
#   code: pg_opaque
deny contains {"code": "pg_opaque", "message": message} if {
	input.operation.opaque
	message := concat(" ", array.concat(["The effects of this can't be known."], sort(postgres.because)))
}

# METADATA
# title: Procedures aren't called
# description: CALL, and what else runs for its effects alone. Functions in a query are judged with it.
# custom:
#   code: pg_execute
deny contains {"code": "pg_execute", "message": "Procedures aren't called through the gateway: write the statements"} if {
	input.operation.action == "execute"
	not input.operation.opaque
}

# METADATA
# title: The schema isn't changed through the gateway
# description: CREATE, ALTER, DROP and what else defines.
# custom:
#   code: pg_define
deny contains {
	"code": "pg_define",
	"message": "Changes of the schema go through migrations, not through a session",
} if {
	_accesses.define
}

# METADATA
# title: The server isn't administered through the gateway
# description: Roles, grants, ALTER SYSTEM, settings that aren't harmless.
# custom:
#   code: pg_administer
deny contains {
	"code": "pg_administer",
	"message": "Roles, privileges and the server's settings are the administrators' own",
} if {
	_accesses.administer
}

# METADATA
# title: Tables aren't emptied
# custom:
#   code: pg_truncate
deny contains {
	"code": "pg_truncate",
	"message": "TRUNCATE removes every row: delete the rows you mean",
} if {
	_accesses.truncate
}

# METADATA
# title: The server's files and programs are out of reach
# description: COPY to or from a file or a program on the server. COPY to and from the client is something else.
# custom:
#   code: pg_server_files
deny contains {"code": "pg_server_files", "message": message} if {
	some resource in input.operation.resources
	_server_side[resource.type]
	message := concat("", ["COPY with a ", resource.type, " on the server isn't allowed: use STDIN or STDOUT"])
}

# METADATA
# title: The catalog's secrets stay there
# description: Password hashes, samples of rows, other sessions' statements, the server's files.
# custom:
#   code: pg_catalog_secrets
deny contains {"code": "pg_catalog_secrets", "message": message} if {
	some access in object.keys(postgres.relations)
	some relation in (postgres.relations[access] & _catalog_secrets)
	message := concat("", [relation, " shows what isn't meant for clients"])
}

_server_side := {"file": true, "program": true}

_accesses[resource.access] := true if some resource in input.operation.resources

_accesses[input.operation.action] := true

_catalog_secrets := {
	"pg_catalog.pg_authid", "pg_catalog.pg_shadow", "pg_catalog.pg_user_mapping", "pg_catalog.pg_user_mappings",
	"pg_catalog.pg_statistic", "pg_catalog.pg_stats", "pg_catalog.pg_statistic_ext_data", "pg_catalog.pg_stats_ext",
	"pg_catalog.pg_stats_ext_exprs", "pg_catalog.pg_stat_activity",
	"pg_catalog.pg_largeobject", "pg_catalog.pg_hba_file_rules",
	"pg_catalog.pg_ident_file_mappings", "pg_catalog.pg_file_settings", "pg_catalog.pg_subscription",
	"pg_catalog.pg_stat_replication", "pg_catalog.pg_stat_wal_receiver", "pg_catalog.pg_backend_memory_contexts",
	"pg_catalog.pg_foreign_server", "information_schema.user_mapping_options",
	"information_schema.foreign_server_options",
}
