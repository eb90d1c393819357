package policy.postgres

import data.sallyport.postgres

# METADATA
# title: Unbounded writes wait for a person
# description: An UPDATE or DELETE whose WHERE doesn't depend on the row changes every row.
# custom:
#   code: pg_unbounded_write
approval contains {
	"code": "pg_unbounded_write",
	"groups": ["dba"],
	"quorum": 1,
	"expires": "15m",
	"reason": concat("", [upper(kind), " without a WHERE that depends on the row"]),
} if {
	some kind in postgres.unbounded
}

# METADATA
# title: Personal data is masked
# description: |
#   Columns by data.classification, functions by data.masks. People with the role `unmasked` see what is there.
# custom:
#   code: pg_masked
mask contains {"code": "pg_masked", "resource": column, "with": function} if {
	not _sees_clear
	some column, functions in postgres.masks
	some function in functions
}

_sees_clear if {
	input.principal.kind == "human"
	"unmasked" in input.principal.roles
}
