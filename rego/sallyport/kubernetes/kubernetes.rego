# METADATA
# title: Kubernetes, for the writers of policy
# description: |
#   Questions about the request in `input`, each answered positively: what is undefined, empty or unknown is never true here.
#
#       import data.sallyport.kubernetes
#       allow contains {"code": "readers"} if kubernetes.reads_only
# schemas:
# - input: schema.kubernetes
package sallyport.kubernetes

# METADATA
# title: Nothing is changed
# description: get, list and watch of objects, logs included; paths that are no objects.
reads_only if {
	input.operation.action == "read"
	input.operation.opaque == false
}

# METADATA
# title: Clients find out what there is
# description: Versions, groups and schemas of the API, its health, and what one may do oneself.
discovers_only if {
	input.operation.action == "session"
	input.operation.opaque == false
}

# METADATA
# title: Objects are made or changed, and nothing that administers
# description: No rights, no namespaces, no nodes, no new kinds of objects, nothing that runs in a container.
writes_only if {
	input.operation.action == "write"
	input.operation.opaque == false
}

# METADATA
# title: The objects, as kubectl names them
# description: '"secrets", "deployments.apps", without a subresource.'
resource := input.operation.kubernetes.resource if input.operation.kubernetes.group == ""

resource := concat(".", [own.resource, own.group]) if {
	own := input.operation.kubernetes
	own.group != ""
}

# METADATA
# title: Every object of the kind that the request names is one of a namespace
# description: '"shop" for what is in the namespace shop; undefined for what is in none, and for all namespaces at once.'
namespace := input.operation.kubernetes.namespace if input.operation.kubernetes.namespace != ""

# METADATA
# title: Secrets are asked for
# description: Read, written or removed, by themselves.
secrets if resource == "secrets"

# METADATA
# title: A program runs in a container, or a connection leads there
# description: exec, attach, ephemeral containers, proxy, port-forward.
enters if input.operation.kubernetes.subresource in {"exec", "attach", "ephemeralcontainers", "proxy", "portforward"}

enters if input.operation.kubernetes.verb == "proxy"

# METADATA
# title: A shell, or what runs in the container already, gets what it does while it runs
# description: Nobody knows before what that is. exec of a shell with input or a terminal; attach.
shell if input.operation.kubernetes.shell

# METADATA
# title: A command that is known to read alone runs in a container
# description: Each of its commands, in `sh -c LINE` too. What it reads stands in `operation.resources`.
runs_reading if {
	own := input.operation.kubernetes
	own.subresource == "exec"
	input.operation.opaque == false
	count(own.commands) > 0
	every command in own.commands {
		command.action == "read"
		command.opaque == false
	}
}

# METADATA
# title: A tunnel to ports of a pod is opened
# description: Nothing goes through it before each connection in it was judged with its port (see forwards_to).
opens_tunnel if {
	input.operation.kubernetes.subresource == "portforward"
	not input.operation.kubernetes.ports
}

# METADATA
# title: Connections to no other ports of a pod than these
# description: 'forwards_to({8080, 9090}): of a port-forward that names at least one port.'
forwards_to(ports) if {
	input.operation.kubernetes.subresource == "portforward"
	count(input.operation.kubernetes.ports) > 0
	every port in input.operation.kubernetes.ports {
		port in ports
	}
}

# METADATA
# title: Why the request is opaque, in words
because contains reason if some reason in input.operation.kubernetes.because

# METADATA
# title: Many objects are removed at once
deletes_all if input.operation.kubernetes.verb == "deletecollection"

# METADATA
# title: Names of Secrets that a written object brings into a container
# description: |
#   By volumes, environment and pull secrets, wherever in the object they stand. Whoever may write such an object may read those
#   Secrets in the container.
mounts contains name if {
	walk(input.operation.kubernetes.object, [path, value])
	_refers(path[count(path) - 1])
	name := value.name
}

mounts contains name if {
	walk(input.operation.kubernetes.object, [path, value])
	lower(path[count(path) - 1]) == "secretname"
	name := value
}

mounts contains name if {
	walk(input.operation.kubernetes.object, [path, value])
	count(path) > 1
	path[count(path) - 2] == "imagePullSecrets"
	name := value.name
}

# A JSON patch says where in a text: which Secret it is may stand in another operation of it.
mounts contains place if {
	input.operation.kubernetes.patch_type == "json"
	some step in input.operation.kubernetes.object
	place := step.path
	contains(lower(place), "secret")
}

# secretRef, secretKeyRef, nodePublishSecretRef, the secret of a projected volume.
_refers(field) if {
	text := lower(field)
	some end in ["secretref", "secretkeyref"]
	endswith(text, end)
}

_refers(field) if field == "secret"

# METADATA
# title: The object as it would be
# description: |
#   Of a write for which a `preview` rule asks, once it was tried out: whole, with defaults and admission. Undefined before that.
becomes := own.object if {
	own := input.operation.kubernetes.result
	own.known
}

# METADATA
# title: Images that would run
# description: Of the object as it would be, wherever in it they stand.
images contains image if {
	walk(becomes, [path, image])
	path[count(path) - 1] == "image"
	path[0] != "status"
	is_string(image)
}

# METADATA
# title: Every image that would run begins with one of these
# description: |
#   'images_from({"registry.example/"})': with the slash, or other registries begin so, too. True as well while it is asked
#   whether the write may be tried out (stage `prepare`). Never true where it was not: have a `preview` rule for the same writes.
images_from(_) if input.operation.stage == "prepare"

images_from(beginnings) if {
	becomes
	every image in images {
		some beginning in beginnings
		startswith(image, beginning)
	}
}
