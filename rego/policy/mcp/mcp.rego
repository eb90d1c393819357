# METADATA
# title: What agents and people may do with tools
# description: |
#   Two roles: `readonly` looks, and calls tools of which their server says that they change nothing; `writer` calls the others as
#   well, and what may destroy something waits for a person. Servers ask nothing of clients.
package policy.mcp

import data.sallyport.mcp

_known if {
	some role in ["readonly", "writer"]
	role in input.principal.roles
}

# METADATA
# title: Readers and writers begin sessions
# custom:
#   code: mcp_session
allow contains {"code": "mcp_session"} if {
	_known
	mcp.moves_only
}

# METADATA
# title: Readers and writers look
# custom:
#   code: mcp_look
allow contains {"code": "mcp_look"} if {
	_known
	mcp.looks_only
}

# METADATA
# title: Readers and writers call tools that change nothing
# custom:
#   code: mcp_read
allow contains {"code": "mcp_read"} if {
	_known
	mcp.says_reads_only
}

# METADATA
# title: Writers call tools
# custom:
#   code: mcp_call
allow contains {"code": "mcp_call"} if {
	"writer" in input.principal.roles
	mcp.tool
	mcp.trusted
}

# METADATA
# title: What may destroy something waits for a person
# custom:
#   code: mcp_destroy
approval contains {
	"code": "mcp_destroy",
	"groups": ["operators"],
	"quorum": 1,
	"expires": "15m",
	"reason": concat(" ", ["calls", mcp.tool]),
} if {
	mcp.may_destroy
}

# METADATA
# title: Servers ask nothing of clients
# description: Their models and people would answer whoever the server works for.
# custom:
#   code: mcp_server_asks
deny contains {"code": "mcp_server_asks", "message": "Servers may not ask anything of their clients here"} if {
	mcp.asked_by_server
}
