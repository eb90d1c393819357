package sallyport

# METADATA
# title: What the sets come to
# description: |
#   A deny beats everything, a hold needs an allow as well, and nothing is allowed that no rule allows. Arrays are sorted:
#   equal policy and input give equal bytes.
combined := {
	"outcome": "deny",
	"reasons": sort(_refusals),
	"masks": [],
	"filters": [],
	"approvals": [],
	"limits": {},
} if {
	count(_refusals) > 0
} else := {
	"outcome": "deny",
	"reasons": [{"code": "not_allowed"}],
	"masks": [],
	"filters": [],
	"approvals": [],
	"limits": {},
} if {
	not _allowed
} else := object.union(_consequences, {
	"outcome": "hold",
	"reasons": sort(_questions),
	"masks": _masks,
	"filters": sort(_filters),
	"approvals": sort(_approvals),
	"limits": _limits,
}) if {
	count(_approvals) > 0
} else := object.union(_consequences, {
	"outcome": "allow",
	"reasons": sort(_permissions),
	"masks": _masks,
	"filters": sort(_filters),
	"approvals": [],
	"limits": _limits,
})

_refusals := _faults | _reasons("deny")

_permissions := _reasons("allow")

# An operation touches something. One that says it touches nothing would satisfy every `every`.
_allowed if {
	count(_permissions) > 0
	count(input.operation.resources) > 0
	_package
}

_reasons(set) := {reason |
	some owner, sets in _documents
	is_set(sets[set])
	some element in sets[set]
	_shaped(set, element)
	reason := object.union({"code": _code(owner, set), "rule": owner}, element)
}

# The elements of one set, with the code that each falls back to. Read only where there are no faults.
_elements(set) := {object.union({"code": _code(owner, set)}, element) |
	some owner, sets in _documents
	some element in sets[set]
}

_code(owner, set) := concat(".", [owner, set])

_questions := {reason |
	some owner, sets in _documents
	some element in sets.approval
	reason := object.union(
		{"code": object.get(element, "code", _code(owner, "approval")), "rule": owner},
		{"message": text | text := element.reason},
	)
}

_approvals := {object.union({"quorum": 1, "expires": "15m"}, question) |
	some element in _elements("approval")
	question := object.union(element, {"groups": sort(element.groups)})
}

_filters := _elements("filter")

_limits := {kind: amount |
	some kind in ["rows", "bytes", "seconds"]
	amounts := {element[kind] | some element in _limit_elements}
	count(amounts) > 0
	amount := min(amounts)
}

_limit_elements := _elements("limit")

# What is found out of an operation before it goes on, what is kept of it, and what it leaves behind: absent where no rule says anything.
_consequences.previews := sort(_previews) if count(_previews) > 0

_consequences.keeps := sort(_keeps) if count(_keeps) > 0

_consequences.taints := sort(_taints) if count(_taints) > 0

_consequences.cost := sum(_costs) if count(_costs) > 0

_previews := _elements("preview")

_keeps := _elements("keep")

_taints := {object.union({"for": "12h"}, element) | some element in _elements("taint")}

# An array: two rules that each cost one unit cost two.
_costs := [element.units |
	some _, sets in _documents
	some element in sets.cost
]

_masks := [mask |
	some resource in sort(object.keys(_masks_by_resource))
	mask := _strictest(_masks_by_resource[resource])
]

_masks_by_resource[mask.resource] contains mask if {
	some element in _elements("mask")
	element["with"] != "none"
	mask := object.union({"scope": "source"}, element)
}

_strictest(masks) := mask if {
	count(masks) == 1
	some mask in masks
} else := mask if {
	least := min({_weight(mask) | some mask in masks})
	equals := sort([mask | some mask in masks; _weight(mask) == least])
	parameters := {object.get(mask, "parameters", {}) | some mask in equals}
	mask := _agreed(equals[0], parameters)
}

# Function before scope: the strictest function at either scope comes before a weaker function at the source.
_weight(mask) := (_functions[mask["with"]] * 2) + _scopes[mask.scope]

_agreed(mask, parameters) := mask if {
	count(parameters) == 1
} else := object.union(object.remove(mask, ["parameters"]), _kinds(parameters)) if {
	# Two patterns find together what each of them finds.
	mask["with"] == "pattern"
} else := object.union(object.remove(mask, ["parameters"]), {"with": _total(mask["with"])})

# Without `kinds` a pattern looks for all of them. Which of two `partial` with different parameters shows less can't be
# told; `redact` shows less than either.
_kinds(parameters) := {"parameters": {"kinds": sort(kinds)}} if {
	every one in parameters { is_array(one.kinds) }
	kinds := {kind | some one in parameters; some kind in one.kinds}
} else := {}

_total("null") := "null"

_total(function) := "redact" if function != "null"
