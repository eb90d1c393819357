# METADATA
# title: What agents and people may do on hosts
# description: |
#   Three roles: `readonly` looks, `operator` changes files and services as well, and people with `shell` get a shell. Only
#   what is understood is allowed; a deletion waits for a person.
package policy.ssh

import data.sallyport.ssh

# METADATA
# title: Readers and operators connect
# custom:
#   code: ssh_session
allow contains {"code": "ssh_session"} if {
	some role in ["readonly", "operator", "shell"]
	role in input.principal.roles
	ssh.session_only
}

# METADATA
# title: Readers and operators look
# description: Commands that are known to read, and files.
# custom:
#   code: ssh_read
allow contains {"code": "ssh_read"} if {
	some role in ["readonly", "operator"]
	role in input.principal.roles
	ssh.reads_only
}

# METADATA
# title: Operators change files and services
# custom:
#   code: ssh_operate
allow contains {"code": "ssh_operate"} if {
	"operator" in input.principal.roles
	ssh.operates_only
}

# METADATA
# title: People get a shell of the host
# description: |
#   What is typed there nobody judges, so agents never get one. Everybody else gets one in which each line is judged as a
#   command is: that is `ssh_session`.
# custom:
#   code: ssh_shell
allow contains {"code": "ssh_shell"} if _shell

# METADATA
# title: What can't be understood isn't run
# description: Variables, substitutions, interpreters, programs that nothing is known of.
# custom:
#   code: ssh_opaque
deny contains {"code": "ssh_opaque", "message": message} if {
	input.operation.opaque
	not _shell
	message := concat("", ["The effects of this can't be known: ", concat("; ", sort(ssh.because))])
}

# METADATA
# title: Secrets stay on the host
# description: Keys, password files, credentials of clouds, histories.
# custom:
#   code: ssh_secrets
deny contains {"code": "ssh_secrets", "message": message} if {
	some name in ssh.secrets
	message := concat("", [name, " is, or holds, what isn't meant for clients"])
}

# METADATA
# title: Files go by their own names
# custom:
#   code: ssh_alias
deny contains {"code": "ssh_alias", "message": message} if {
	some name in ssh.aliases
	message := concat("", [name, " may stand for any file: name the file itself"])
}

# METADATA
# title: Hosts are no way to others, and owners of files stay
# description: Forwardings, and what changes who owns a file or what a user may do.
# custom:
#   code: ssh_beyond
deny contains {"code": "ssh_beyond", "message": message} if {
	message := _beyond[input.operation.action]
	not _shell
}

_beyond := {
	"transfer": "Nothing is forwarded through hosts",
	"administer": "Owners, rights and the host itself are the administrators' own",
}

# METADATA
# title: No second names
# description: A symbolic link would lead commands where their words don't say.
# custom:
#   code: ssh_link
deny contains {"code": "ssh_link", "message": "a link gives files a name by which policy doesn't know them"} if {
	input.operation.ssh.sftp.operation in {"symlink", "hardlink"}
}

# METADATA
# title: What starts by itself isn't changed
# description: The system's own folders, units, jobs, and files that begin with a dot.
# custom:
#   code: ssh_system_files
deny contains {"code": "ssh_system_files", "message": message} if {
	some name in ssh.changes
	_system(name)
	message := concat("", [name, " belongs to the system, or runs by itself"])
}

# METADATA
# title: Deletions wait for a person
# custom:
#   code: ssh_delete
approval contains {
	"code": "ssh_delete",
	"groups": ["operations"],
	"quorum": 1,
	"expires": "15m",
	"reason": concat(" ", array.concat(["removes"], sort(ssh.files.delete))),
} if {
	input.operation.action == "delete"
}

_shell if {
	input.principal.kind == "human"
	"shell" in input.principal.roles
	input.operation.ssh.request == "shell"
}

_system(name) if {
	some folder in ["/etc/", "/usr/", "/bin/", "/sbin/", "/lib", "/boot/", "/sys/", "/proc/", "/dev/", "/var/spool/", "/opt/"]
	startswith(concat("", [name, "/"]), folder)
}

_system(name) if name in {"/", "/var", "/home", "/root", "~"}

_system(name) if contains(name, "/.")

# What makes a folder a bare repository of git, of which any git command runs what its configuration says.
_system(name) if endswith(lower(name), "/head")

_system(name) if contains(concat("", [name, "/"]), "/bin/")
