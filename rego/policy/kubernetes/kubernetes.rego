# METADATA
# title: What agents and people may do in clusters
# description: |
#   Two roles: `readonly` looks, `operator` changes objects in namespaces as well. What a Secret holds is shown to nobody, and
#   nothing runs in containers; a removal waits for a person.
package policy.kubernetes

import data.sallyport.kubernetes

# METADATA
# title: Readers and operators find out what there is
# custom:
#   code: kubernetes_discover
allow contains {"code": "kubernetes_discover"} if {
	some role in ["readonly", "operator"]
	role in input.principal.roles
	kubernetes.discovers_only
}

# METADATA
# title: Readers and operators look
# description: At objects; not at other paths, among which are the API server's own logs and profiles.
# custom:
#   code: kubernetes_read
allow contains {"code": "kubernetes_read"} if {
	some role in ["readonly", "operator"]
	role in input.principal.roles
	kubernetes.reads_only
	kubernetes.resource
}

# METADATA
# title: Operators change objects in namespaces
# custom:
#   code: kubernetes_operate
allow contains {"code": "kubernetes_operate"} if {
	"operator" in input.principal.roles
	kubernetes.namespace
	_changes
}

# METADATA
# title: What a Secret holds stays in the cluster
# custom:
#   code: kubernetes_secret
mask contains {"code": "kubernetes_secret", "resource": field, "with": "redact"} if {
	kubernetes.secrets
	some field in ["secrets:data", "secrets:stringData"]
}

# METADATA
# title: Objects that bring Secrets into containers are for people
# description: What runs there reads the Secret.
# custom:
#   code: kubernetes_mounts
deny contains {"code": "kubernetes_mounts", "message": message} if {
	input.principal.kind != "human"
	count(kubernetes.mounts) > 0
	message := concat(" ", ["The object brings Secrets into a container:", concat(", ", sort(kubernetes.mounts))])
}

# METADATA
# title: What reaches beyond objects in namespaces is done elsewhere
# custom:
#   code: kubernetes_beyond
deny contains {"code": "kubernetes_beyond", "message": message} if {
	message := _beyond[input.operation.action]
}

_beyond := {
	"execute": "Nothing runs in containers from here: read the logs, or change the workload",
	"transfer": "Ports of pods aren't forwarded",
	"define": "Namespaces, custom resources and classes are made by whoever runs the cluster",
	"administer": "Rights, admission and nodes are the administrators' own",
}

# METADATA
# title: Removals wait for a person
# custom:
#   code: kubernetes_delete
approval contains {
	"code": "kubernetes_delete",
	"groups": ["operations"],
	"quorum": 1,
	"expires": "15m",
	"reason": concat(" ", ["removes", kubernetes.resource]),
} if {
	input.operation.action == "delete"
}

_changes if kubernetes.writes_only

_changes if {
	input.operation.action == "delete"
	input.operation.opaque == false
	not kubernetes.deletes_all
}
