# METADATA
# title: The entry point
# description: |
#   Sites write small sets in packages under `policy`; this package puts them together. It is total: whatever policy
#   answers, there is a decision, and what isn't understood is a deny.
# schemas:
# - input: schema.input
# - input.nonce: {type: string}
package sallyport

# METADATA
# title: The decision on one operation
# description: |
#   {
#     "nonce":    the input's, so that an answer can't be taken for another operation's (null where the input has none),
#     "allow", "deny", "mask", "filter", "approval", "limit", "preview", "keep", "taint", "cost":
#                 what data.policy[input.target.protocol] answered, as it is; absent where it has no such rule,
#     "all":      the same ten of data.policy.all,
#     "combined": {"outcome": "allow" | "deny" | "hold", "reasons": [{"code", "rule"?, "title"?, "message"?}],
#                  "masks":     [{"resource", "with", "scope", "code", "parameters"?}],
#                  "filters":   [{"resource", "where", "code"}],
#                  "approvals": [{"code", "groups", "quorum", "expires", "reason"?, "preview"?, …}],
#                  "limits":    {"rows"?, "bytes"?, "seconds"?},
#                  "previews"?: [{"code"}], "keeps"?: [{"code"}],
#                  "taints"?:   [{"label", "for", "code"}], "cost"?: a number}
#   }
#   The raw documents are there because a boolean where a set was meant must be seen by whoever reads the answer.
# entrypoint: true
decision := object.union(_own, {"nonce": _nonce, "all": _all, "combined": combined})

# The names of the contract. Another rule of a site's package is its own affair.
_sets := ["allow", "deny", "mask", "filter", "approval", "limit", "preview", "keep", "taint", "cost"]

default _nonce := null

_nonce := input.nonce

# A missing package or rule is no key. Looked up name by name, so that a site's other rules aren't evaluated.
_own[name] := document if {
	some name in _sets
	document := data.policy[input.target.protocol][name]
}

_all[name] := document if {
	some name in _sets
	document := data.policy.all[name]
}

_package := concat(".", ["policy", input.target.protocol])

_documents[_package] := _own

_documents["policy.all"] := _all
