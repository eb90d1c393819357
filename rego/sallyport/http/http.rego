# METADATA
# title: HTTP, for the writers of policy
# description: |
#   Questions about the request in `input`, each answered positively: what is undefined, empty or unknown is never true
#   here. Ask `not …` of them in a deny at will; in an allow, ask for what you want to see.
#
#       import data.sallyport.http
#       allow contains {"code": "readers"} if {
#           http.reads_only
#           http.below(["v1", "machines"])
#       }
# schemas:
# - input: schema.http
package sallyport.http

# METADATA
# title: Nothing is changed
# description: A request whose method reads, and that is understood whole.
reads_only if {
	input.operation.action == "read"
	_known
	_touches_only({"read", "use"})
}

# METADATA
# title: Changes that are understood
# description: Reads, and requests that create, change or delete, with a body that could be read or none.
changes_only if {
	input.operation.action in {"read", "write", "delete"}
	_known
	_touches_only({"read", "insert", "update", "delete", "use"})
}

# METADATA
# title: Whether the path lies below these segments
# description: |
#   Decoded, compared one by one: below(["v1", "users"]) holds for /v1/users and /v1/users/7, never for /v1/users2. A "*"
#   stands for any one segment.
below(prefix) if {
	segments := input.operation.http.segments
	count(segments) >= count(prefix)
	every index, part in prefix {
		_fits(part, segments[index])
	}
}

# METADATA
# title: Whether the path is made of these segments
# description: 'As `below`, and nothing behind them: at(["v1", "users", "*"]) holds for /v1/users/7 alone.'
at(pattern) if {
	count(input.operation.http.segments) == count(pattern)
	below(pattern)
}

# METADATA
# title: Values of a parameter of the query
# description: 'parameters.force: {"true"}; empty where it is absent.'
parameters[name] contains value if {
	some name, values in input.operation.http.query
	some value in values
}

# METADATA
# title: Fields of a JSON body by their names, whatever their case
# description: |
#   fields.role: {"admin"}: the values of "role", "Role" and "ROLE" at the body's top level. Some servers take them all for
#   one, so ask here for what must not be said.
fields[lower(name)] contains value if {
	some name, value in input.operation.http.body.json
	is_string(name)
}

# METADATA
# title: The client uses a credential of its own
own_credential if count(input.operation.http.credentials) > 0

# METADATA
# title: A tunnel through the egress proxy
# description: |
#   To the host that `input.operation.http.connect` names; nobody sees what is said in it, so it is opaque, unless it is
#   `intercepted`. Ask for the host as well: http.tunnel_to({"pypi.example:443"}).
tunnel if {
	input.operation.action == "connect"
	input.operation.http.method == "CONNECT"
	input.operation.http.connect.host != ""
}

# METADATA
# title: A tunnel in which each request is an operation of its own
# description: |
#   The target has `egress.intercept`. Who may open it may not do anything by that yet: what is asked in it is judged as below /http/.
intercepted if {
	tunnel
	input.operation.http.connect.intercepted == true
	input.operation.opaque == false
}

# METADATA
# title: A tunnel to one of these places
# description: 'A set of "HOST:PORT".'
tunnel_to(places) if {
	tunnel
	input.operation.http.host in places
}

# Understood whole.
_known if {
	input.operation.opaque == false
	input.operation.http.method != ""
}

_touches_only(accesses) if {
	count(input.operation.resources) > 0
	every resource in input.operation.resources {
		resource.access in accesses
	}
}

_fits("*", segment) if segment != ""

_fits(part, segment) if {
	part != "*"
	part == segment
}
