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
# title: Personal data is not for agents
# description: Whatever a statement would use it for, to show it or to search by it.
# custom:
#   code: personal_data
deny contains {"code": "personal_data", "message": message} if {
	input.principal.kind == "agent"
	personal := {column |
		some column, _ in postgres.columns
		data.classification[input.target.name][column]
	}
	count(personal) > 0
	message := concat("", ["personal data is not for agents: ", concat(", ", sort(personal))])
}

_open := {relation | some relation in data.open_relations}

_reads_within(relations) if {
	every relation in object.get(postgres.relations, "read", set()) {
		_within(relation, relations)
	}
}

_within(relation, relations) if relation in relations

_within(relation, _) if startswith(relation, "pg_catalog.")
