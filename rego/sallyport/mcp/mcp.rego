# METADATA
# title: MCP, for the writers of policy
# description: |
#   Questions about the message in `input`, each answered positively: what is undefined, empty or unknown is never true here.
#
#       import data.sallyport.mcp
#       allow contains {"code": "lookups"} if mcp.tool in {"search", "lookup"}
#
#   Whether a tool is shown in a list is asked at the stage `prepare`, without arguments: an allow that needs arguments hides
#   the tool, a deny that needs them does not.
# schemas:
# - input: schema.mcp
package sallyport.mcp

# METADATA
# title: The tool that the client calls
# description: Undefined for whatever is no call of a tool.
tool := input.operation.mcp.tool if {
	input.operation.mcp.from == "client"
	input.operation.mcp.method == "tools/call"
}

# METADATA
# title: The client begins a session, or moves it
# description: initialize, ping, levels of logging, notifications, listening. Nothing of the server's data.
moves_only if {
	input.operation.mcp.from == "client"
	input.operation.action in {"connect", "session"}
}

# METADATA
# title: The client looks
# description: Lists, resources, prompts and completions; no tool.
looks_only if {
	input.operation.mcp.from == "client"
	input.operation.action == "read"
}

# METADATA
# title: The tool is what it was when somebody looked at it, or when it was first seen
trusted if input.operation.mcp.pin in {"pinned", "seen"}

# METADATA
# title: The server says of the tool that it changes nothing
# description: Its word. Ask for `pinned` as well where it counts.
says_reads_only if {
	tool
	trusted
	input.operation.mcp.annotations.readOnlyHint == true
}

# METADATA
# title: The server does not say of the tool that it destroys nothing
# description: What the specification takes for true where nothing is said.
may_destroy if {
	tool
	not says_reads_only
	not _says_harmless
}

# METADATA
# title: The operator has looked at the tool and pinned it
pinned if input.operation.mcp.pin == "pinned"

# METADATA
# title: The server asks something of the client
# description: |
#   sampling/createMessage (of its model), elicitation/create (of its person), roots/list (of its folders): what it answers
#   goes to the server.
asked_by_server := input.operation.mcp.method if input.operation.mcp.from == "server"

_says_harmless if {
	trusted
	input.operation.mcp.annotations.destructiveHint == false
}
