# METADATA
# title: Agents look into the cluster, and for Secrets they ask
package policy.kubernetes

import data.sallyport.kubernetes

# METADATA
# title: Clients find out what there is
# custom:
#   code: cluster_discover
allow contains {"code": "cluster_discover"} if kubernetes.discovers_only

# METADATA
# title: ConfigMaps and Pods are read, logs included
# custom:
#   code: cluster_look
allow contains {"code": "cluster_look"} if {
	kubernetes.reads_only
	kubernetes.resource in {"configmaps", "pods"}
}

# METADATA
# title: A Secret may be asked for, by its name
# description: Lists and watches of Secrets are not allowed by anything here.
# custom:
#   code: secret_by_name
allow contains {"code": "secret_by_name"} if _reads_secret

# METADATA
# title: Before a Secret is read, a person says yes
# custom:
#   code: secret_read
approval contains {
	"code": "secret_read",
	"groups": data.secret_reads.answered_by,
	"quorum": 1,
	"expires": data.secret_reads.within,
	"reason": reason,
} if {
	kubernetes.secrets
	own := input.operation.kubernetes
	reason := sprintf("the Secret %s of %s is read", [own.name, own.namespace])
}

# METADATA
# title: Some keys of a Secret stay in the cluster
# custom:
#   code: secret_masked
mask contains {"code": "secret_masked", "resource": field, "with": "redact"} if {
	kubernetes.secrets
	some key in data.secret_reads.masked
	some member in ["data", "stringData"]
	field := sprintf(`secrets:%s["%s"]`, [member, key])
}

_reads_secret if {
	kubernetes.secrets
	kubernetes.reads_only
	input.operation.kubernetes.verb == "get"
	input.operation.kubernetes.name != ""
}
