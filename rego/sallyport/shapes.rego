package sallyport

# What isn't the contract's shape must not open anything: `deny if { … }` is a boolean, and denies nothing on its own.
# Built so that a fault can't get lost on the way: nothing below may be undefined for a value of an unexpected type.

_faults contains _fault(owner, message) if {
	some owner, sets in _documents
	some name, document in sets
	not is_set(document)
	message := concat("", [
		owner, ".", name, " is of type ", type_name(document), ", not a set: write `", name, " contains {…} if {…}`",
	])
}

_faults contains _fault(owner, message) if {
	some owner, sets in _documents
	some name, document in sets
	is_set(document)
	some element in document
	not _shaped(name, element)
	message := concat("", ["an element of ", owner, ".", name, " isn't of the shape ", _shapes[name]])
}

_faults contains {"code": "policy_shape", "message": "data.classification isn't an object of objects"} if {
	classification := data.classification
	not is_object(classification)
}

_faults contains {"code": "policy_shape", "message": "data.classification isn't an object of objects"} if {
	classification := data.classification[input.target.name]
	not is_object(classification)
}

# A mask that looks its function up by label vanishes silently where data.masks lacks the label, so the label itself is
# a reason to refuse. The same for a list of labels, of which a rule may have read only some.
_faults contains {"code": "mask_missing", "message": message} if {
	classification := data.classification[input.target.name]
	some resource in input.operation.resources
	resource.type == "column"
	some label in _labels(classification[resource.name])
	not _has_mask(label)
	message := concat("", ["label ", json.marshal(label), " of ", resource.name, " has no mask in data.masks"])
}

_fault(owner, message) := {"code": "policy_shape", "rule": owner, "message": message}

_labels(value) := value if {
	is_array(value)
} else := [value]

_has_mask(label) if _functions[data.masks[label]]

_has_mask(label) if data.masks[label] == "none"

# Strictest first. The functions are the enforcement's, see "Masks" in the policy reference.
_functions := {"null": 1, "redact": 2, "hash": 3, "tokenize": 4, "truncate": 5, "pattern": 6, "partial": 7}

_scopes := {"source": 1, "output": 2}

_shapes := {
	"allow": `{"code"?, "title"?, "message"?}`,
	"deny": `{"code"?, "title"?, "message"?}`,
	"mask": `{"resource", "with": a mask function, "scope"?: "source" or "output", "parameters"?: an object, "code"?}`,
	"filter": `{"resource", "where", "code"?}`,
	"approval": `{"groups": ["…"], "code"?, "quorum"?: 1, "expires"?: "15m", "reason"?, "preview"?: "effect", "in_transaction"?: true, "grant"?: {"same"?, "session"?, "uses"?, "for"?}, "break_glass"?: {"groups": ["…"]}}`,
	"preview": `{"code"?}`,
	"keep": `{"code"?}`,
	"taint": `{"label", "for"?: "12h", "code"?}`,
	"cost": `{"units": a number, "code"?}`,
	"limit": `{"rows" and/or "bytes" and/or "seconds": a number, "code"?}`,
}

# Objects are closed: {"qourum": 2} would otherwise be an approval by one.
_shaped("allow", element) if _reason_shaped(element)

_shaped("deny", element) if _reason_shaped(element)

_shaped("mask", element) if {
	_closed(element, {"resource", "with", "scope", "parameters", "code"})
	_text(element.resource)
	_function_known(element["with"], element.resource)
	_scopes[object.get(element, "scope", "source")]
	is_object(object.get(element, "parameters", {}))
}

_shaped("filter", element) if {
	_closed(element, {"resource", "where", "code"})
	_text(element.resource)
	_text(element.where)
}

_shaped("approval", element) if {
	_closed(element, {"groups", "code", "quorum", "expires", "reason", "preview", "in_transaction", "grant", "break_glass"})
	_groups_shaped(element.groups)
	_quorum_shaped(object.get(element, "quorum", 1))
	_duration_shaped(object.get(element, "expires", "15m"))
	is_string(object.get(element, "reason", ""))
	object.get(element, "preview", "effect") == "effect"
	is_boolean(object.get(element, "in_transaction", true))
	_grant_shaped(object.get(element, "grant", {}))
	_break_glass_shaped(object.get(element, "break_glass", {"groups": ["-"]}))
}

_shaped("preview", element) if _closed(element, {"code"})

_shaped("keep", element) if _closed(element, {"code"})

_shaped("taint", element) if {
	_closed(element, {"label", "for", "code"})
	_text(element.label)
	_duration_shaped(object.get(element, "for", "12h"))
}

_shaped("cost", element) if {
	_closed(element, {"units", "code"})
	is_number(element.units)
	element.units >= 0
}

_shaped("limit", element) if {
	_closed(element, {"rows", "bytes", "seconds", "code"})
	amounts := object.remove(element, ["code"])
	count(amounts) > 0
	every amount in amounts {
		is_number(amount)
		amount >= 0
	}
}

_reason_shaped(element) if {
	_closed(element, {"code", "title", "message"})
	is_string(object.get(element, "title", ""))
	is_string(object.get(element, "message", ""))
}

# An object with none but these keys; a code is text wherever there is one.
_closed(element, keys) if {
	is_object(element)
	object.keys(element) - keys == set()
	_text(object.get(element, "code", "-"))
}

_text(value) if {
	is_string(value)
	value != ""
}

_function_known(name, _) if _functions[name]

# `none` says that a label needs no mask. It comes out of data.masks, never out of a rule.
_function_known("none", resource) if {
	some label in _labels(data.classification[input.target.name][resource])
	data.masks[label] == "none"
}

_groups_shaped(groups) if {
	is_array(groups)
	_texts(groups)
}

_groups_shaped(groups) if {
	is_set(groups)
	_texts(groups)
}

_texts(values) if {
	count(values) > 0
	every value in values {
		_text(value)
	}
}

_duration_shaped(text) if regex.match(`^[1-9][0-9]{0,5}[smhd]$`, text)

_grant_shaped(grant) if {
	_closed(grant, {"same", "session", "uses", "for"})
	object.get(grant, "same", "operation") in {"operation", "fingerprint"}
	is_boolean(object.get(grant, "session", true))
	_quorum_shaped(object.get(grant, "uses", 1))
	_duration_shaped(object.get(grant, "for", "15m"))
}

_break_glass_shaped(terms) if {
	_closed(terms, {"groups"})
	_groups_shaped(terms.groups)
}

_quorum_shaped(quorum) if {
	is_number(quorum)
	quorum >= 1
	quorum == floor(quorum)
}
