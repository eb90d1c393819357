package sallyport.registry_test

import data.sallyport.registry

asked(action, extra) := {"operation": {
	"action": action,
	"opaque": false,
	"resources": [{"type": "image", "name": "team/app:v1", "access": "read"}],
	"registry": object.union({"operation": "pull", "object": "manifest", "repository": "team/app", "head": false}, extra),
}}

manifest := {"annotations": {"a": "1", "b": "1"}, "layers": [{"digest": "sha256:0"}, {"digest": "sha256:1", "foreign": true}]}

test_a_pull_only_pulls if {
	registry.pulls_only with input as asked("read", {})
	registry.pulls_only with input as asked("read", {"operation": "list", "object": "tags"})
	not registry.pulls_only with input as asked("write", {"operation": "push"})
	not registry.pulls_only with input as asked("write", {"operation": "mount"})
}

test_blobs_mounts_and_manifests_are_pushed if {
	registry.pushes with input as asked("write", {"operation": "push", "object": "blob"})
	registry.pushes with input as asked("write", {"operation": "mount", "object": "blob"})
	not registry.pushes with input as asked("read", {})
	not registry.pushes with input as asked("delete", {"operation": "delete"})
}

test_a_manifest_publishes if {
	registry.publishes with input as asked("write", {"operation": "push"})
	not registry.publishes with input as asked("write", {"operation": "push", "object": "blob"})
	not registry.publishes with input as asked("read", {})
}

test_a_tag_is_published_by_a_push_alone if {
	registry.published_tag == "v1" with input as asked("write", {"operation": "push", "tag": "v1"})
	not registry.published_tag with input as asked("read", {"tag": "v1"})
	not registry.published_tag with input as asked("write", {"operation": "push"})
}

test_a_deletion_removes if {
	registry.removes with input as asked("delete", {"operation": "delete"})
	not registry.removes with input as asked("read", {})
}

test_repositories_below_a_path if {
	registry.below("team") with input as asked("read", {})
	not registry.below("tea") with input as asked("read", {})
	not registry.below("team/app") with input as asked("read", {})
	registry.below("team") with input as asked("write", {"operation": "mount", "from": "team/base"})
	not registry.below("team") with input as asked("write", {"operation": "mount", "from": "other/base"})
}

test_signatures if {
	registry.signed with input as asked("read", {"signature": "present"})
	registry.signed with input as asked("read", {"signature": "verified"})
	not registry.signed with input as asked("read", {"signature": "none"})
	not registry.signed with input as asked("read", {})
}

test_verified_signatures if {
	by_release := {"signatures": [
		{"format": "cosign", "verified": false},
		{"format": "bundle", "verified": true, "key": "release"},
	]}
	registry.verified with input as asked("read", by_release)
	registry.signers == {"release"} with input as asked("read", by_release)
	not registry.verified with input as asked("read", {"signatures": [{"format": "cosign", "verified": false}]})
	not registry.verified with input as asked("read", {"signatures": []})
	not registry.verified with input as asked("read", {"signature": "present"})
}

test_signatures_themselves if {
	registry.inert with input as asked("read", {"inert": true})
	not registry.inert with input as asked("read", {"inert": false})
	not registry.inert with input as asked("read", {})
}

test_labels_come_before_annotations if {
	registry.labels == {"a": "1", "b": "1"} with input as asked("read", {"manifest": manifest})
	labelled := object.union(manifest, {"labels": {"b": "2"}})
	registry.labels == {"a": "1", "b": "2"} with input as asked("read", {"manifest": labelled})
	not registry.labels with input as asked("read", {})
}

test_foreign_layers if {
	registry.foreign == {"sha256:1"} with input as asked("read", {"manifest": manifest})
	count(registry.foreign) == 0 with input as asked("read", {})
}
