# METADATA
# title: What holds for every protocol
# description: Judged beside the package of the protocol; a deny here can't be allowed there.
package policy.all

# METADATA
# title: Agents say what their work is for
# description: The purpose comes from the token. Without one, nobody can tell later whether an operation was meant.
# custom:
#   code: purpose_missing
deny contains {
	"code": "purpose_missing",
	"message": "An agent needs a purpose in its token: ask your identity provider for one",
} if {
	input.principal.kind == "agent"
	not _purpose
}

_purpose if {
	trim_space(input.principal.purpose) != ""
}
