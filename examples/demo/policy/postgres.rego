# METADATA
# title: What agents may do in the shop's database
# description: Nothing is allowed that no rule here allows.
package policy.postgres

import data.sallyport.postgres

# METADATA
# title: Agents connect
# description: And begin, commit, and set what is harmless.
# custom:
#   code: agent_session
allow contains {"code": "agent_session"} if {
	"agents" in input.principal.groups
	postgres.session_only
}

# METADATA
# title: Agents read what is open
# description: The list stands in data.yaml; the catalog, which psql reads for \d, is open too.
# custom:
#   code: agent_reads
allow contains {"code": "agent_reads"} if {
	"readonly" in input.principal.roles
	postgres.reads_only
	_reads_within(_open)
}

# METADATA
# title: Agents remove orders
# description: Some of them, never all; and not before somebody has looked (below).
# custom:
#   code: agent_removes_orders
allow contains {"code": "agent_removes_orders"} if {
	"agents" in input.principal.groups
	postgres.rows_only
	count(postgres.unbounded) == 0
	postgres.kinds == {"delete"}
	postgres.writes == {"app.orders", "app.order_items"}
	_reads_within(_open)
}

# METADATA
# title: A delete waits for the shop's owners
# description: They see what it does, cascades included, before it is committed.
# custom:
#   code: deletes_wait
approval contains {"code": "deletes_wait", "groups": ["shop-owners"], "preview": "effect", "reason": "deletes are looked at"} if {
	"delete" in postgres.kinds
}

# METADATA
# title: Payment data is not for agents
# description: Whatever a statement would use it for, to show it or to search by it.
# custom:
#   code: payment_data
deny contains {"code": "payment_data", "message": message} if {
	input.principal.kind == "agent"
	withheld := {column |
		some column, _ in postgres.columns
		data.classification[input.target.name][column] == "payment"
	}
	count(withheld) > 0
	message := concat("", ["payment data is not for agents: ", concat(", ", sort(withheld))])
}

# METADATA
# title: Personal data is masked
# description: |
#   At the source: the statement that reaches the database reads the mask and never the value, whatever it does with it.
# custom:
#   code: personal_data
mask contains {"code": "personal_data", "resource": column, "with": data.masks[label]} if {
	input.principal.kind == "agent"
	some column, _ in postgres.columns
	label := data.classification[input.target.name][column]
}

_open := {relation | some relation in data.open_relations}

_reads_within(relations) if {
	every relation in object.get(postgres.relations, "read", set()) {
		_within(relation, relations)
	}
}

_within(relation, relations) if relation in relations

_within(relation, _) if startswith(relation, "pg_catalog.")
