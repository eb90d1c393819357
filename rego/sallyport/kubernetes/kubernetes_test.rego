package sallyport.kubernetes_test

import data.sallyport.kubernetes

asked(action, opaque, own) := {"operation": {"action": action, "opaque": opaque, "kubernetes": own}}

pods := {"verb": "list", "group": "", "resource": "pods", "subresource": "", "namespace": "shop"}

test_reads if {
	kubernetes.reads_only with input as asked("read", false, pods)
	not kubernetes.reads_only with input as asked("read", true, pods)
	not kubernetes.reads_only with input as asked("write", false, pods)
	not kubernetes.reads_only with input as {}
}

test_discovers if {
	kubernetes.discovers_only with input as asked("session", false, {"verb": "get", "path": "/version"})
	not kubernetes.discovers_only with input as asked("session", true, {"verb": "get", "path": "/version"})
	not kubernetes.discovers_only with input as asked("read", false, pods)
}

test_writes if {
	kubernetes.writes_only with input as asked("write", false, pods)
	not kubernetes.writes_only with input as asked("write", true, pods)
	not kubernetes.writes_only with input as asked("administer", false, pods)
}

test_names if {
	kubernetes.resource == "pods" with input as asked("read", false, pods)
	kubernetes.namespace == "shop" with input as asked("read", false, pods)
	deployments := object.union(pods, {"group": "apps", "resource": "deployments", "namespace": ""})
	kubernetes.resource == "deployments.apps" with input as asked("read", false, deployments)
	not kubernetes.namespace with input as asked("read", false, deployments)
}

test_secrets if {
	kubernetes.secrets with input as asked("read", false, object.union(pods, {"resource": "secrets"}))
	other := object.union(pods, {"resource": "secrets", "group": "example.com"})
	not kubernetes.secrets with input as asked("read", false, other)
	not kubernetes.secrets with input as asked("read", false, pods)
}

test_enters if {
	kubernetes.enters with input as asked("execute", true, object.union(pods, {"subresource": "exec"}))
	kubernetes.enters with input as asked("execute", true, object.union(pods, {"verb": "proxy"}))
	not kubernetes.enters with input as asked("read", false, object.union(pods, {"subresource": "log"}))
}

test_shells if {
	kubernetes.shell with input as asked("execute", true, object.union(pods, {"subresource": "exec", "shell": true}))
	not kubernetes.shell with input as asked("execute", true, object.union(pods, {"subresource": "exec", "shell": false}))
	because := {"because": ["what is typed is not known"]}
	kubernetes.because == {"what is typed is not known"} with input as asked("execute", true, because)
}

command(action, opaque) := {"action": action, "opaque": opaque}

running(commands) := object.union(pods, {"subresource": "exec", "commands": commands})

test_runs_reading if {
	kubernetes.runs_reading with input as asked("execute", false, running([command("read", false)]))
	not kubernetes.runs_reading with input as asked("execute", true, running([command("read", false)]))
	mixed := [command("read", false), command("write", false)]
	not kubernetes.runs_reading with input as asked("execute", false, running(mixed))
	not kubernetes.runs_reading with input as asked("execute", false, running([]))
	not kubernetes.runs_reading with input as asked("read", false, pods)
}

test_deletes_all if {
	kubernetes.deletes_all with input as asked("delete", false, object.union(pods, {"verb": "deletecollection"}))
	not kubernetes.deletes_all with input as asked("delete", false, pods)
}

test_mounts if {
	pod := {"spec": {
		"volumes": [{"secret": {"secretName": "one"}}, {"emptyDir": {}}],
		"imagePullSecrets": [{"name": "two"}],
		"containers": [{
			"env": [{"valueFrom": {"secretKeyRef": {"name": "three", "key": "a"}}}],
			"envFrom": [{"secretRef": {"name": "four"}}],
		}],
	}}
	kubernetes.mounts == {"one", "two", "three", "four"} with input as asked(
		"write", false,
		object.union(pods, {"object": pod}),
	)
	kubernetes.mounts == set() with input as asked("write", false, pods)
	volumes := {"volumes": [
		{"projected": {"sources": [{"secret": {"name": "five"}}]}},
		{"csi": {"nodePublishSecretRef": {"name": "six"}}},
	]}
	kubernetes.mounts == {"five", "six"} with input as asked("write", false, object.union(pods, {"object": volumes}))
	patch := [{"op": "replace", "path": "/spec/volumes/0/secret/secretName", "value": "seven"}]
	kubernetes.mounts == {"/spec/volumes/0/secret/secretName"} with input as asked(
		"write", false,
		object.union(pods, {"object": patch, "patch_type": "json"}),
	)
}

test_forwards if {
	tunnel := object.union(pods, {"subresource": "portforward", "name": "web"})
	kubernetes.opens_tunnel with input as asked("transfer", true, tunnel)
	not kubernetes.forwards_to({80}) with input as asked("transfer", true, tunnel)
	one := object.union(tunnel, {"ports": [80]})
	not kubernetes.opens_tunnel with input as asked("transfer", true, one)
	kubernetes.forwards_to({80, 443}) with input as asked("transfer", true, one)
	two := object.union(tunnel, {"ports": [80, 22]})
	not kubernetes.forwards_to({80, 443}) with input as asked("transfer", true, two)
	not kubernetes.opens_tunnel with input as asked("read", false, pods)
	not kubernetes.forwards_to({80}) with input as asked("read", false, object.union(pods, {"ports": [80]}))
}

would_be(result, stage) := {"operation": {"stage": stage, "action": "write", "kubernetes": object.union(pods, {"result": result})}}

test_becomes if {
	result := {"known": true, "object": {"kind": "Pod"}}
	kubernetes.becomes == {"kind": "Pod"} with input as would_be(result, "execute")
	not kubernetes.becomes with input as would_be({"known": false, "why": "no"}, "execute")
	not kubernetes.becomes with input as asked("write", false, pods)
}

test_images if {
	pod := {
		"spec": {
			"containers": [{"image": "registry.example/web:1"}],
			"initContainers": [{"image": "registry.example.evil/web:1"}, {"image": {"not": "text"}}],
		},
		"status": {"containerStatuses": [{"image": "docker.io/web:1"}]},
	}
	document := would_be({"known": true, "object": pod}, "execute")
	kubernetes.images == {"registry.example/web:1", "registry.example.evil/web:1"} with input as document
	not kubernetes.images_from({"registry.example/"}) with input as document
	kubernetes.images_from({"registry.example/", "registry.example.evil/"}) with input as document
	kubernetes.images == set() with input as asked("write", false, pods)
}

test_images_from_nowhere if {
	kubernetes.images_from({"a/"}) with input as would_be({"known": true, "object": {"kind": "Service"}}, "execute")
	kubernetes.images_from({"a/"}) with input as would_be({"known": false}, "prepare")
	not kubernetes.images_from({"a/"}) with input as would_be({"known": false}, "execute")
}
