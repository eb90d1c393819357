package sallyport_test

import data.sallyport

# Every way to write a set wrongly ends in a deny that names the set.

refused(sets, name) if {
	answer := combined(sets)
	answer.outcome == "deny"
	some reason in answer.reasons
	reason.code == "policy_shape"
	reason.rule == "policy.postgres"
	contains(reason.message, concat("", ["policy.postgres.", name, " is"]))
}

test_what_is_no_set_is_refused if {
	every name in ["allow", "deny", "mask", "filter", "approval", "limit", "preview", "keep", "taint", "cost"] {
		every value in [true, false, null, 0, "", "text", [], [{"code": "x"}], {}, {"code": "x"}] {
			refused({name: value}, name)
		}
	}
}

test_elements_of_no_shape_are_refused if {
	every name in ["allow", "deny", "mask", "filter", "approval", "limit", "preview", "keep", "taint", "cost"] {
		every element in [true, null, 1, "code", ["code"], {"unknown": 1}, {"code": 1}, {"code": ""}] {
			refused({name: {element}}, name)
		}
	}
}

test_one_wrong_element_is_enough if {
	refused({"mask": {{"resource": "r", "with": "hash"}, {"resource": "r"}}}, "mask")
}

test_reasons_are_text if {
	refused({"deny": {{"code": "a", "message": 1}}}, "deny")
	refused({"allow": {{"code": "a", "title": 1}}}, "allow")
}

test_masks_of_no_shape_are_refused if {
	mask := {"resource": "r", "with": "hash"}
	every change in [
		{"resource": ""}, {"resource": 1}, {"with": "hsah"}, {"with": null}, {"with": "none"},
		{"scope": "sauce"}, {"scope": null}, {"parameters": []}, {"scoep": "output"},
	] {
		refused({"mask": {object.union(mask, change)}}, "mask")
	}
}

test_filters_of_no_shape_are_refused if {
	every element in [{"resource": "r"}, {"resource": "r", "where": ""}, {"resource": "r", "where": "a", "and": "b"}] {
		refused({"filter": {element}}, "filter")
	}
}

test_approvals_of_no_shape_are_refused if {
	approval := {"groups": ["dba"]}
	every change in [
		{"groups": []}, {"groups": "dba"}, {"groups": [""]}, {"groups": [1]}, {"groups": set()}, {"groups": {2}},
		{"quorum": 0}, {"quorum": -1}, {"quorum": 1.5}, {"quorum": "2"}, {"qourum": 2},
		{"expires": "15"}, {"expires": "0m"}, {"expires": "-1m"}, {"expires": "15 m"}, {"expires": 15}, {"expires": ""},
		{"reason": 1}, {"preview": "affect"}, {"in_transaction": 1},
		{"grant": 1}, {"grant": {"same": "anything"}}, {"grant": {"session": 1}}, {"grant": {"uses": 0}},
		{"grant": {"for": "ever"}}, {"grant": {"use": 1}},
		{"break_glass": true}, {"break_glass": {}}, {"break_glass": {"groups": []}},
		{"break_glass": {"groups": ["oncall"], "quorum": 1}},
	] {
		refused({"approval": {object.union(approval, change)}}, "approval")
	}
}

test_taints_of_no_shape_are_refused if {
	every element in [{"code": "t"}, {"label": ""}, {"label": 1}, {"label": "pii", "for": "ever"}, {"label": "a", "of": 1}] {
		refused({"taint": {element}}, "taint")
	}
}

test_previews_of_no_shape_are_refused if {
	every element in [{"code": ""}, {"code": 1}, {"preview": "effect"}] {
		refused({"preview": {element}}, "preview")
	}
}

test_costs_of_no_shape_are_refused if {
	every element in [{"code": "c"}, {"units": "1"}, {"units": -1}, {"units": null}, {"units": 1, "per": "row"}] {
		refused({"cost": {element}}, "cost")
	}
}

test_limits_of_no_shape_are_refused if {
	every element in [{"code": "l"}, {"rows": "1"}, {"rows": -1}, {"rows": null}, {"row": 1}, {"rows": 1, "bites": 1}] {
		refused({"limit": {element}}, "limit")
	}
}

test_a_wrong_shape_in_all_is_refused if {
	decision := sallyport.decision with input as operation
		with data.policy as {"postgres": {"allow": yes}, "all": {"deny": true}}
	decision.combined.reasons == [{
		"code": "policy_shape", "rule": "policy.all",
		"message": "policy.all.deny is of type boolean, not a set: write `deny contains {…} if {…}`",
	}]
}

test_what_denies_rightly_is_named_beside_a_wrong_shape if {
	answer := combined({"mask": true, "deny": {{"code": "no"}, {"code": 1}}})
	{reason.code | some reason in answer.reasons} == {"no", "policy_shape"}
}

test_all_that_is_allowed_has_the_shape if {
	answer := combined({
		"allow": {{"code": "a", "title": "A", "message": "m"}},
		"deny": set(),
		"mask": {{"resource": "r", "with": "partial", "scope": "output", "parameters": {"keep": 1}, "code": "m"}},
		"filter": {{"resource": "r", "where": "true", "code": "f"}},
		"approval": {{
			"code": "p", "groups": {"dba"}, "quorum": 2, "expires": "2h",
			"reason": "", "preview": "effect", "in_transaction": true,
			"grant": {"same": "fingerprint", "session": false, "uses": 5, "for": "1h"},
			"break_glass": {"groups": {"oncall"}},
		}},
		"limit": {{"rows": 0, "bytes": 1.5, "seconds": 1, "code": "l"}},
		"preview": {{"code": "v"}},
		"keep": {{"code": "k"}},
		"taint": {{"label": "pii", "for": "1h", "code": "t"}},
		"cost": {{"units": 0.5, "code": "c"}},
	})
	answer.outcome == "hold"
}

test_classification_of_no_shape_is_refused if {
	every classification in ["x", [], {"orders": ["app.customers.email"]}, {"orders": null}] {
		answer := labelled(classification, {})
		answer.reasons == [{"code": "policy_shape", "message": "data.classification isn't an object of objects"}]
	}
}

test_a_label_of_no_shape_is_refused if {
	every label in [7, null, true, {"contact": true}, [["contact"]]] {
		answer := labelled({"orders": {"app.customers.email": label}}, {"contact": "partial"})
		{reason.code | some reason in answer.reasons} == {"mask_missing"}
	}
}

test_masks_of_no_function_are_none if {
	every masks in [{}, [], "partial", {"contact": ""}, {"contact": {"with": "partial"}}, {"contact": ["partial"]}] {
		answer := labelled({"orders": {"app.customers.email": "contact"}}, masks)
		{reason.code | some reason in answer.reasons} == {"mask_missing"}
	}
}
