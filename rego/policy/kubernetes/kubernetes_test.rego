package policy.kubernetes_test

import data.policy.kubernetes

reader := {"kind": "agent", "roles": ["readonly"]}

operator := {"kind": "agent", "roles": ["operator"]}

person := {"kind": "human", "roles": ["operator"]}

asked(principal, action, own) := {
	"principal": principal,
	"operation": {
		"action": action,
		"opaque": false,
		"kubernetes": object.union(
			{"verb": "list", "group": "", "resource": "pods", "subresource": "", "namespace": "shop"},
			own,
		),
	},
}

allowed(document) := codes if codes := {reason.code | some reason in kubernetes.allow} with input as document

denied(document) := codes if codes := {reason.code | some reason in kubernetes.deny} with input as document

test_readers_look if {
	allowed(asked(reader, "read", {})) == {"kubernetes_read"}
	allowed(asked(reader, "session", {})) == {"kubernetes_discover"}
	allowed(asked(reader, "write", {})) == set()
	allowed(asked({"roles": []}, "read", {})) == set()
	logs := {"action": "read", "opaque": false, "kubernetes": {"verb": "get", "path": "/logs/audit.log"}}
	allowed({"principal": reader, "operation": logs}) == set()
}

test_operators_change_what_is_in_namespaces if {
	allowed(asked(operator, "write", {})) == {"kubernetes_operate"}
	allowed(asked(operator, "delete", {"verb": "delete"})) == {"kubernetes_operate"}
	allowed(asked(operator, "write", {"namespace": ""})) == set()
	allowed(asked(operator, "administer", {})) == set()
	allowed(asked(operator, "execute", {"subresource": "exec"})) == set()
	allowed(asked(operator, "delete", {"verb": "deletecollection"})) == set()
}

test_secrets_are_masked if {
	masked := {mask.resource | some mask in kubernetes.mask} with input as asked(reader, "read", {"resource": "secrets"})
	masked == {"secrets:data", "secrets:stringData"}
	count(kubernetes.mask) == 0 with input as asked(reader, "read", {})
}

test_agents_bring_no_secrets_into_containers if {
	pod := {"object": {"spec": {"volumes": [{"secret": {"secretName": "a"}}]}}}
	denied(asked(operator, "write", pod)) == {"kubernetes_mounts"}
	denied(asked(person, "write", pod)) == set()
	denied(asked(operator, "write", {"object": {}})) == set()
}

test_removals_wait if {
	some approval in kubernetes.approval with input as asked(operator, "delete", {"verb": "delete"})
	approval.groups == ["operations"]
	approval.reason == "removes pods"
	count(kubernetes.approval) == 0 with input as asked(operator, "write", {})
}

test_what_reaches_beyond_objects_is_denied if {
	denied(asked(operator, "execute", {"subresource": "exec"})) == {"kubernetes_beyond"}
	denied(asked(person, "administer", {})) == {"kubernetes_beyond"}
	denied(asked(reader, "read", {})) == set()
}
