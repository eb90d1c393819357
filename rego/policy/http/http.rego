# METADATA
# title: What agents and people may ask of APIs
# description: |
#   Two roles: `readonly` reads, `writer` creates and changes as well; a deletion waits for a person. Only what is
#   understood is allowed.
package policy.http

import data.sallyport.http

# METADATA
# title: Readers and writers read
# custom:
#   code: http_read
allow contains {"code": "http_read"} if {
	some role in ["readonly", "writer"]
	role in input.principal.roles
	http.reads_only
}

# METADATA
# title: Writers create, change and delete
# custom:
#   code: http_write
allow contains {"code": "http_write"} if {
	"writer" in input.principal.roles
	http.changes_only
}

# METADATA
# title: What can't be read isn't sent
# description: A body of a media type that the gateway knows nothing of, or one that is too large to be looked at.
# custom:
#   code: http_opaque
deny contains {
	"code": "http_opaque",
	"message": "The body can't be read: send JSON, a form or a text",
} if {
	input.operation.opaque
	not http.tunnel
}

# METADATA
# title: Methods that mean something else to every API are not sent
# custom:
#   code: http_method
deny contains {
	"code": "http_method",
	"message": "Only GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE are known here",
} if {
	input.operation.action == "administer"
}

# METADATA
# title: Tunnels lead to what the configuration names
# description: |
#   Through the egress proxy, for the role `egress` alone. Nobody sees what is said in a tunnel: where the configuration names
#   hosts by "*", say here which of them are meant, with http.tunnel_to.
# custom:
#   code: http_tunnel
allow contains {"code": "http_tunnel"} if {
	"egress" in input.principal.roles
	http.tunnel
}

# METADATA
# title: Readers and writers go by tunnels that are looked into
# description: Each request in such a tunnel is judged by the rules above.
# custom:
#   code: http_intercepted
allow contains {"code": "http_intercepted"} if {
	some role in ["readonly", "writer"]
	role in input.principal.roles
	http.intercepted
}

# METADATA
# title: Agents have no credentials of their own
# description: What a target is asked with is the gateway's; a credential that an agent brings comes from somewhere else.
# custom:
#   code: http_own_credential
deny contains {
	"code": "http_own_credential",
	"message": "Agents may not bring credentials of their own to a target",
} if {
	input.principal.kind == "agent"
	http.own_credential
}

# METADATA
# title: Deletions wait for a person
# custom:
#   code: http_delete
approval contains {
	"code": "http_delete",
	"groups": ["operators"],
	"quorum": 1,
	"expires": "15m",
	"reason": "It deletes something",
} if {
	input.operation.action == "delete"
}
