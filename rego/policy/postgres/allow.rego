# METADATA
# title: What agents and people may do in Postgres
# description: |
#   Two roles: `readonly` reads, `writer` reads and changes rows. Nothing is allowed that isn't named here; refusals
#   stand beside, so that a client is told why, and so that no later allow opens what they close.
package policy.postgres

import data.sallyport.postgres

# METADATA
# title: Readers and writers connect
# description: And begin, commit, set what is harmless, and close their cursors.
# custom:
#   code: pg_session
allow contains {"code": "pg_session"} if {
	some role in ["readonly", "writer"]
	role in input.principal.roles
	postgres.session_only
}

# METADATA
# title: Readers and writers read
# description: Whatever is understood whole and changes nothing.
# custom:
#   code: pg_read
allow contains {"code": "pg_read"} if {
	some role in ["readonly", "writer"]
	role in input.principal.roles
	postgres.reads_only
}

# METADATA
# title: Writers change rows
# description: INSERT, UPDATE, DELETE, MERGE and COPY from the client.
# custom:
#   code: pg_write
allow contains {"code": "pg_write"} if {
	"writer" in input.principal.roles
	postgres.rows_only
}
