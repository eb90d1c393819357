package sallyport.ssh_test

import data.sallyport.ssh

file(name, access) := {"type": "file", "name": name, "access": access}

asked(action, opaque, resources) := {"operation": {
	"action": action,
	"opaque": opaque,
	"resources": resources,
	"ssh": {"request": "exec", "because": ["x runs y"]},
}}

test_reads if {
	ssh.reads_only with input as asked("read", false, [])
	not ssh.reads_only with input as asked("read", true, [])
	not ssh.reads_only with input as asked("write", false, [])
	not ssh.reads_only with input as {}
}

test_operates if {
	every action in ["read", "write", "delete", "execute"] {
		ssh.operates_only with input as asked(action, false, [])
	}
	not ssh.operates_only with input as asked("administer", false, [])
	not ssh.operates_only with input as asked("execute", true, [])
}

test_session if {
	ssh.session_only with input as asked("connect", false, [])
	not ssh.session_only with input as asked("connect", true, [])
	not ssh.session_only with input as asked("read", false, [])
}

test_programs_and_files if {
	document := asked("write", false, [
		{"type": "program", "name": "cp", "access": "execute"},
		file("/a", "read"),
		file("/b", "update"),
	])
	ssh.programs == {"cp"} with input as document
	ssh.files == {"read": {"/a"}, "update": {"/b"}} with input as document
	ssh.changes == {"/b"} with input as document
	ssh.because == {"x runs y"} with input as document
}

test_secrets if {
	every name in ["/etc/shadow", "/root", "/root/x", "~/.ssh/id_ed25519", "/srv/tls/server.key"] {
		ssh.secrets == {name} with input as asked("read", false, [file(name, "use")])
	}
	ssh.secrets == {"/etc"} with input as asked("read", false, [file("/etc", "read")])
	ssh.secrets == {"/"} with input as asked("read", false, [file("/", "read")])
	ssh.secrets == set() with input as asked("read", false, [file("/etc", "use"), file("/etc/hosts", "read")])
}

test_aliases if {
	every name in ["/etc/s*", "/etc/shado?", "/etc/[s]hadow", "~/../x", "/proc/self/root/etc/shadow", "/dev/fd/3", "/proc", "~root/x"] {
		ssh.aliases == {name} with input as asked("read", false, [file(name, "read")])
	}
	every name in ["/var/log/*.log", "/proc/cpuinfo", "/etc/hosts", "~", "~/notes"] {
		ssh.aliases == set() with input as asked("read", false, [file(name, "read")])
	}
}
