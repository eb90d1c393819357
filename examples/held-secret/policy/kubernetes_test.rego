package policy.kubernetes_test

import data.policy.kubernetes

asked(action, own) := {"operation": {
	"action": action,
	"opaque": false,
	"kubernetes": object.union({"group": "", "subresource": "", "namespace": "shop", "name": ""}, own),
}}

secret := asked("read", {"verb": "get", "resource": "secrets", "name": "db"})

codes(set) := {element.code | some element in set}

test_clients_find_out_what_there_is if {
	codes(kubernetes.allow) == {"cluster_discover"} with input as asked("session", {"verb": "get", "resource": ""})
}

test_settings_and_pods_are_read_at_once if {
	every resource in ["configmaps", "pods"] {
		seen := asked("read", {"verb": "list", "resource": resource})
		codes(kubernetes.allow) == {"cluster_look"} with input as seen
		count(kubernetes.approval) == 0 with input as seen
		count(kubernetes.mask) == 0 with input as seen
	}
}

test_nothing_is_changed if {
	every verb in ["create", "update", "patch"] {
		change := asked("write", {"verb": verb, "resource": "configmaps", "name": "settings"})
		count(kubernetes.allow) == 0 with input as change
	}
}

test_a_secret_waits_for_a_person if {
	codes(kubernetes.allow) == {"secret_by_name"} with input as secret
	some approval in kubernetes.approval with input as secret
	approval.groups == data.secret_reads.answered_by
	approval.expires == data.secret_reads.within
	approval.reason == "the Secret db of shop is read"
}

test_some_keys_are_shown_to_nobody if {
	fields := {element.resource | some element in kubernetes.mask} with input as secret
		with data.secret_reads.masked as ["root-password"]
	fields == {`secrets:data["root-password"]`, `secrets:stringData["root-password"]`}
}

test_secrets_are_read_one_by_one if {
	every verb in ["list", "watch"] {
		count(kubernetes.allow) == 0 with input as asked("read", {"verb": verb, "resource": "secrets"})
	}
}

test_secrets_are_not_written if {
	count(kubernetes.allow) == 0 with input as asked("write", {"verb": "update", "resource": "secrets", "name": "db"})
}
