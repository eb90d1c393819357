# METADATA
# title: SSH, for the writers of policy
# description: |
#   Questions about the command, file or forwarding in `input`, each answered positively: what is undefined, empty or
#   unknown is never true here.
#
#       import data.sallyport.ssh
#       allow contains {"code": "readers"} if ssh.reads_only
# schemas:
# - input: schema.ssh
package sallyport.ssh

# METADATA
# title: Nothing is changed
# description: Commands that are known to read, and files that are read over SFTP.
reads_only if {
	input.operation.action == "read"
	input.operation.opaque == false
}

# METADATA
# title: Files and services, and nothing that administers
# description: Commands whose effects are known, and files over SFTP. No change of owners, of rights, of the machine itself.
operates_only if {
	input.operation.action in {"read", "write", "delete", "execute"}
	input.operation.opaque == false
}

# METADATA
# title: The session's own affairs
# description: Connecting, and the start of SFTP, of which every file is judged by itself.
session_only if {
	input.operation.action in {"connect", "session"}
	input.operation.opaque == false
}

# METADATA
# title: Names of the programs that are run
# description: '{"ls", "grep"} for `ls | grep x`, those behind sudo and timeout included.'
programs contains resource.name if {
	some resource in input.operation.resources
	resource.type == "program"
}

# METADATA
# title: Files by access
# description: |
#   {"read": {"/etc/hosts"}, "update": {"~/notes"}}: absolute, or in the folder of the login ("~"). `use` is for those of
#   which only name, size and times are told.
files[resource.access] contains resource.name if {
	some resource in input.operation.resources
	resource.type == "file"
}

# METADATA
# title: Files that are changed
# description: Written, made or removed; their owners and rights included.
changes contains name if {
	some access in ["insert", "update", "delete", "administer"]
	some name in files[access]
}

# METADATA
# title: Files that hold secrets
# description: Keys, passwords, histories, by name; folders around them, where what is in them would be read.
secrets contains name if {
	some access in object.keys(files)
	some name in files[access]
	_secret(name)
}

secrets contains name if {
	some name in files.read
	some place in _secret_places
	startswith(place, concat("", [trim_suffix(name, "/"), "/"]))
}

# METADATA
# title: Names that stand for other files
# description: Patterns, paths out of the login's folder, what /proc and /dev lead to.
aliases contains name if {
	some access in object.keys(files)
	some name in files[access]
	_alias(name)
}

# METADATA
# title: Why an operation is opaque
# description: In words, from the gateway's own analysis.
because contains reason if some reason in input.operation.ssh.because

_secret_places := {
	"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d/", "/etc/ssh/ssh_host_",
	"/etc/ssl/private/", "/etc/krb5.keytab", "/root/", "/var/lib/postgresql/", "/var/spool/cron/", "/boot/",
	"/var/run/secrets/", "/run/secrets/", "/run/credentials/",
}

_secret_parts := {
	"/.ssh", "/.gnupg", "/.aws", "/.azure", "/.kube", "/.docker", "/.config/gcloud", "/.netrc", "/.pgpass", "/.my.cnf",
	"/.git-credentials", "/.bash_history", "/.zsh_history", "/.psql_history", "/.env", "/.npmrc", "/.vault-token", "id_rsa",
	"id_ed25519", "id_ecdsa",
}

_secret_ends := {".pem", ".key", ".p12", ".pfx", ".keytab", ".kdbx", ".jks"}

_secret(name) if {
	some place in _secret_places
	startswith(name, place)
}

_secret(name) if name == "/root"

_secret(name) if {
	some part in _secret_parts
	contains(name, part)
}

_secret(name) if {
	some end in _secret_ends
	endswith(name, end)
}

_alias(name) if {
	some sign in ["*", "?", "["]
	contains(name, sign)
	not startswith(name, "/var/log/")
}

_alias(name) if contains(name, "..")

_alias(name) if {
	startswith(name, "~")
	not startswith(name, "~/")
	name != "~"
}

_alias(name) if name in {"/proc", "/dev"}

_alias(name) if {
	startswith(name, "/proc/")
	not name in _plain_proc
}

_alias(name) if startswith(name, "/dev/")

_plain_proc := {
	"/proc/cpuinfo", "/proc/meminfo", "/proc/loadavg", "/proc/uptime", "/proc/version", "/proc/mounts", "/proc/stat",
	"/proc/vmstat", "/proc/diskstats", "/proc/partitions", "/proc/swaps", "/proc/net/dev", "/proc/sys/kernel/hostname",
}
