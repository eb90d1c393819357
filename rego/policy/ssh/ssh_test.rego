package policy.ssh_test

import data.policy.ssh

reader := {"kind": "agent", "roles": ["readonly"]}

operator := {"kind": "agent", "roles": ["operator"]}

person := {"kind": "human", "roles": ["shell"]}

file(name, access) := {"type": "file", "name": name, "access": access}

asked(principal, action, request, resources) := {
	"principal": principal,
	"operation": {"action": action, "opaque": false, "resources": resources, "ssh": {"request": request}},
}

unclear(principal, request) := {
	"principal": principal,
	"operation": {
		"action": "execute", "opaque": true, "resources": [],
		"ssh": {"request": request, "because": ["what perl does is not known"]},
	},
}

allowed(document) := codes if codes := {reason.code | some reason in ssh.allow} with input as document

denied(document) := codes if codes := {reason.code | some reason in ssh.deny} with input as document

test_readers_look if {
	allowed(asked(reader, "connect", "connect", [])) == {"ssh_session"}
	allowed(asked(reader, "read", "exec", [file("/etc/hosts", "read")])) == {"ssh_read"}
	allowed(asked(reader, "write", "exec", [file("/srv/x", "update")])) == set()
	denied(asked(reader, "read", "exec", [file("/etc/hosts", "read")])) == set()
}

test_operators_change if {
	allowed(asked(operator, "write", "exec", [file("/srv/x", "update")])) == {"ssh_operate"}
	allowed(asked(operator, "administer", "exec", [])) == set()
	allowed(asked(operator, "read", "exec", [])) == {"ssh_read", "ssh_operate"}
}

test_nobody_without_a_role if {
	allowed(asked({"kind": "human", "roles": []}, "read", "exec", [])) == set()
}

test_what_is_not_understood_is_denied if {
	denied(unclear(operator, "exec")) == {"ssh_opaque"}
	ssh.deny == {{
		"code": "ssh_opaque",
		"message": "The effects of this can't be known: what perl does is not known",
	}} with input as unclear(operator, "exec")
}

test_people_get_shells_and_agents_do_not if {
	allowed(unclear(person, "shell")) == {"ssh_shell"}
	denied(unclear(person, "shell")) == set()
	denied(unclear(person, "exec")) == {"ssh_opaque"}
	denied(unclear({"kind": "agent", "roles": ["shell"]}, "shell")) == {"ssh_opaque"}
}

test_secrets_and_aliases_are_denied if {
	denied(asked(reader, "read", "exec", [file("/etc/shadow", "read")])) == {"ssh_secrets"}
	denied(asked(reader, "read", "exec", [file("/etc/host*", "read")])) == {"ssh_alias"}
}

test_system_files_are_not_changed if {
	every name in ["/etc/crontab", "/usr/bin/ls", "/etc", "/", "~/.profile", "/opt", "~/bin/ls", "/srv/x.git/HEAD"] {
		denied(asked(operator, "write", "exec", [file(name, "update")])) == {"ssh_system_files"}
	}
	denied(asked(operator, "write", "exec", [file("/srv/app/x", "update")])) == set()
}

test_deletions_wait if {
	ssh.approval == {{
		"code": "ssh_delete", "groups": ["operations"], "quorum": 1, "expires": "15m", "reason": "removes /srv/x",
	}} with input as asked(operator, "delete", "exec", [file("/srv/x", "delete")])
	ssh.approval == set() with input as asked(operator, "write", "exec", [file("/srv/x", "update")])
}

test_links_are_not_made if {
	document := asked(operator, "write", "sftp", [file("/srv/x", "insert")])
	denied(object.union(document, {"operation": {"ssh": {"sftp": {"operation": "symlink"}}}})) == {"ssh_link"}
}

test_nothing_is_forwarded_and_owners_stay if {
	denied(asked(operator, "transfer", "forward", [])) == {"ssh_beyond"}
	denied(asked(operator, "administer", "sftp", [file("/srv/x", "administer")])) == {"ssh_beyond"}
	denied(asked(person, "administer", "shell", [])) == set()
	denied(asked(operator, "write", "sftp", [file("/srv/x", "update")])) == set()
}
