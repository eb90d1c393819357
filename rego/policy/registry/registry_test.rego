package policy.registry_test

import data.policy.registry

asked(role, action, extra) := {
	"principal": {"subject": "agent:a", "kind": "agent", "roles": [role], "purpose": "a test"},
	"operation": {
		"action": action,
		"opaque": false,
		"resources": [{"type": "image", "name": "team/app:v1", "access": "read"}],
		"registry": object.union(
			{"operation": "pull", "object": "manifest", "repository": "team/app", "tag": "v1", "head": false},
			extra,
		),
	},
}

pushed(extra) := asked("publisher", "write", object.union({"operation": "push"}, extra))

codes(set) := {element.code | some element in set}

test_readers_pull if {
	codes(registry.allow) == {"registry_pull"} with input as asked("readonly", "read", {})
	codes(registry.allow) == {"registry_pull"} with input as asked("publisher", "read", {})
}

test_readers_push_nothing if {
	count(registry.allow) == 0 with input as asked("readonly", "write", {"operation": "push"})
	count(registry.allow) == 0 with input as asked("visitor", "read", {})
}

test_publishers_push_and_remove if {
	codes(registry.allow) == {"registry_push"} with input as pushed({})
	codes(registry.allow) == {"registry_push"} with input as asked("publisher", "delete", {"operation": "delete"})
}

test_foreign_layers_are_not_published if {
	layers := [{"digest": "sha256:1", "foreign": true}]
	codes(registry.deny) == {"registry_foreign"} with input as pushed({"manifest": {"layers": layers}})
	count(registry.deny) == 0 with input as pushed({"manifest": {"layers": [{"digest": "sha256:1"}]}})
}

test_followed_tags_wait if {
	codes(registry.approval) == {"registry_release"} with input as pushed({"tag": "latest"})
	count(registry.approval) == 0 with input as pushed({})
	count(registry.approval) == 0 with input as asked("readonly", "read", {"tag": "latest"})
}

test_removals_wait if {
	codes(registry.approval) == {"registry_delete"} with input as asked("publisher", "delete", {"operation": "delete"})
}

test_targets_that_ask_for_signatures if {
	required := {"labels": {"signatures": "required"}}
	verified := {"signatures": [{"format": "cosign", "verified": true, "key": "release"}]}
	unverified := {"signatures": [{"format": "cosign", "verified": false}], "signature": "present"}

	pull := asked("readonly", "read", {})
	codes(registry.deny) == {"registry_unsigned"} with input as object.union(pull, {"target": required})
	count(registry.deny) == 0 with input as object.union(pull, {"target": {"labels": {}}})

	signed_pull := asked("readonly", "read", verified)
	count(registry.deny) == 0 with input as object.union(signed_pull, {"target": required})

	other_pull := asked("readonly", "read", unverified)
	codes(registry.deny) == {"registry_unsigned"} with input as object.union(other_pull, {"target": required})

	signature_pull := asked("readonly", "read", {"inert": true})
	count(registry.deny) == 0 with input as object.union(signature_pull, {"target": required})

	blob_pull := asked("readonly", "read", {"object": "blob"})
	count(registry.deny) == 0 with input as object.union(blob_pull, {"target": required})

	push := pushed({})
	codes(registry.deny) == {"registry_unsigned"} with input as object.union(push, {"target": required})

	signed_push := pushed(verified)
	count(registry.deny) == 0 with input as object.union(signed_push, {"target": required})
}

test_a_push_by_digest_comes_before_its_signature if {
	by_digest := {"operation": {
		"action": "write",
		"registry": {"operation": "push", "object": "manifest", "repository": "team/app"},
	}}
	required := {"target": {"labels": {"signatures": "required"}}, "principal": {"roles": ["publisher"]}}
	count(registry.deny) == 0 with input as object.union(by_digest, required)
}
