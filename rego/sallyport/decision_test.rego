package sallyport_test

import data.sallyport

# What the entry point makes of policy that is as it should be. Wrong shapes: shapes_test.rego; whole policies in both
# evaluators: ../cases.

column(name) := {"type": "column", "name": name, "access": "read", "use": "output"}

operation := {
	"nonce": "n-1",
	"target": {"name": "orders", "protocol": "postgres"},
	"operation": {"resources": [
		{"type": "relation", "name": "app.customers", "access": "read"},
		column("app.customers.email"),
	]},
}

yes := {{"code": "yes"}}

# Policy for Postgres, with an allow, and nothing classified.
decide(sets) := decision if {
	decision := sallyport.decision with input as operation
		with data.policy as {"postgres": object.union({"allow": yes}, sets)}
		with data.classification as {}
		with data.masks as {}
}

combined(sets) := decide(sets).combined

test_the_nonce_comes_back if {
	decide({}).nonce == "n-1"
}

test_without_a_nonce_it_is_null if {
	decision := sallyport.decision with input as object.remove(operation, ["nonce"]) with data.policy as {}
	decision.nonce == null
}

test_raw_documents_are_handed_out_as_they_are if {
	decision := sallyport.decision with input as operation
		with data.policy as {"postgres": {"deny": true, "other": 1}, "all": {"allow": yes}}
	decision.deny == true
	decision.all == {"allow": yes}
	not "allow" in object.keys(decision)
	not "other" in object.keys(decision)
}

test_nothing_is_allowed_without_policy if {
	decision := sallyport.decision with input as operation with data.policy as {}
	decision.combined == {
		"outcome": "deny", "reasons": [{"code": "not_allowed"}],
		"masks": [], "filters": [], "approvals": [], "limits": {},
	}
}

test_nothing_is_allowed_without_input if {
	decision := sallyport.decision with input as {} with data.policy as {"all": {"allow": yes}}
	decision.combined.outcome == "deny"
}

test_nothing_is_allowed_for_a_protocol_that_is_no_text if {
	decision := sallyport.decision with input as object.union(operation, {"target": {"protocol": 7}})
		with data.policy as {"all": {"allow": yes}}
	decision.combined.outcome == "deny"
}

test_nothing_is_allowed_for_touching_nothing if {
	decision := sallyport.decision with input as object.union(operation, {"operation": {"resources": []}})
		with data.policy as {"all": {"allow": yes}}
	decision.combined.reasons == [{"code": "not_allowed"}]
}

test_an_allow_is_enough if {
	combined({}) == {
		"outcome": "allow", "reasons": [{"code": "yes", "rule": "policy.postgres"}],
		"masks": [], "filters": [], "approvals": [], "limits": {},
	}
}

test_an_allow_of_all_is_enough if {
	decision := sallyport.decision with input as operation with data.policy as {"all": {"allow": yes}}
	decision.combined.reasons == [{"code": "yes", "rule": "policy.all"}]
}

test_a_deny_beats_all_else if {
	answer := combined({
		"deny": {{"code": "no", "message": "no"}},
		"approval": {{"code": "ask", "groups": ["dba"]}},
		"mask": {{"resource": "app.customers.email", "with": "partial"}},
	})
	answer == {
		"outcome": "deny", "reasons": [{"code": "no", "rule": "policy.postgres", "message": "no"}],
		"masks": [], "filters": [], "approvals": [], "limits": {},
	}
}

test_a_deny_of_all_beats_an_allow if {
	decision := sallyport.decision with input as operation
		with data.policy as {"postgres": {"allow": yes}, "all": {"deny": {{"message": "no"}}}}
	decision.combined.reasons == [{"code": "policy.all.deny", "rule": "policy.all", "message": "no"}]
}

test_reasons_are_sorted_by_code if {
	answer := combined({"deny": {{"code": "c"}, {"code": "a", "message": "z"}, {"code": "b"}}})
	[reason.code | some reason in answer.reasons] == ["a", "b", "c"]
}

test_a_hold_has_its_approvals_with_defaults if {
	answer := combined({"approval": {{"code": "ask", "groups": ["ops", "dba"], "reason": "big"}, {"groups": {"sec"}}}})
	answer.outcome == "hold"
	answer.approvals == [
		{"code": "ask", "groups": ["dba", "ops"], "quorum": 1, "expires": "15m", "reason": "big"},
		{"code": "policy.postgres.approval", "groups": ["sec"], "quorum": 1, "expires": "15m"},
	]
	answer.reasons == [
		{"code": "ask", "rule": "policy.postgres", "message": "big"},
		{"code": "policy.postgres.approval", "rule": "policy.postgres"},
	]
}

test_what_an_operation_leaves_behind_adds_up if {
	answer := combined({
		"taint": {{"label": "pii", "code": "saw"}, {"label": "card", "for": "1h"}},
		"cost": {{"units": 1, "code": "a"}, {"units": 1, "code": "b"}, {"units": 0.5}},
	})
	answer.taints == [
		{"code": "policy.postgres.taint", "for": "1h", "label": "card"},
		{"code": "saw", "for": "12h", "label": "pii"},
	]
	answer.cost == 2.5
}

test_what_is_asked_to_be_known_is_said_with_what_is_let_through if {
	previews := {{"code": "images"}, {}}
	expected := [{"code": "images"}, {"code": "policy.postgres.preview"}]
	combined({"allow": {{"code": "a"}}, "preview": previews}).previews == expected
	held := combined({"allow": {{"code": "a"}}, "approval": {{"groups": ["dba"]}}, "preview": previews})
	held.previews == expected
	object.get(combined({"allow": set(), "preview": previews}), "previews", null) == null
}

test_what_is_to_be_kept_is_said_with_what_is_let_through if {
	keeps := {{"code": "uploads"}, {}}
	expected := [{"code": "policy.postgres.keep"}, {"code": "uploads"}]
	combined({"allow": {{"code": "a"}}, "keep": keeps}).keeps == expected
	held := combined({"allow": {{"code": "a"}}, "approval": {{"groups": ["dba"]}}, "keep": keeps})
	held.keeps == expected
	object.get(combined({"allow": set(), "keep": keeps}), "keeps", null) == null
}

test_what_is_refused_leaves_nothing_behind if {
	answer := combined({"deny": {{"code": "no"}}, "taint": {{"label": "pii"}}, "cost": {{"units": 1}}})
	object.keys(answer) == {"outcome", "reasons", "masks", "filters", "approvals", "limits"}
}

test_a_hold_needs_an_allow if {
	answer := combined({"allow": set(), "approval": {{"code": "ask", "groups": ["dba"]}}})
	answer.outcome == "deny"
}

masked(elements) := combined({"mask": elements}).masks

test_a_mask_has_its_defaults if {
	masked({{"resource": "r", "with": "hash"}}) == [{
		"resource": "r", "with": "hash", "scope": "source",
		"code": "policy.postgres.mask",
	}]
}

test_masks_are_sorted_by_resource if {
	masks := masked({{"resource": "b", "with": "hash"}, {"resource": "a", "with": "partial", "parameters": {"keep": 2}}})
	[mask.resource | some mask in masks] == ["a", "b"]
}

test_of_two_masks_the_stricter_function_wins if {
	order := ["null", "redact", "hash", "tokenize", "truncate", "pattern", "partial"]
	every index in numbers.range(0, 5) {
		masks := masked({
			{"resource": "r", "with": order[index], "scope": "output"},
			{"resource": "r", "with": order[index + 1], "scope": "source"},
		})
		count(masks) == 1
		masks[0]["with"] == order[index]
		masks[0].scope == "output"
	}
}

test_of_two_scopes_the_source_wins if {
	masks := masked({{"resource": "r", "with": "hash", "scope": "output"}, {"resource": "r", "with": "hash"}})
	[mask.scope | some mask in masks] == ["source"]
}

test_of_two_codes_the_first_is_named if {
	masks := masked({{"resource": "r", "with": "hash", "code": "b"}, {"resource": "r", "with": "hash", "code": "a"}})
	[mask.code | some mask in masks] == ["a"]
}

test_parameters_that_disagree_become_redact if {
	masks := masked({
		{"resource": "r", "with": "partial", "parameters": {"keep": 2}},
		{"resource": "r", "with": "partial", "parameters": {"keep": 4}},
	})
	masks == [{"resource": "r", "with": "redact", "scope": "source", "code": "policy.postgres.mask"}]
}

test_patterns_find_together_what_each_finds if {
	masks := masked({
		{"resource": "*", "with": "pattern", "parameters": {"kinds": ["iban", "card"]}},
		{"resource": "*", "with": "pattern", "parameters": {"kinds": ["email", "card"]}},
	})
	masks == [{
		"resource": "*", "with": "pattern", "scope": "source",
		"parameters": {"kinds": ["card", "email", "iban"]},
		"code": "policy.postgres.mask",
	}]
}

test_a_pattern_without_kinds_finds_all if {
	masks := masked({
		{"resource": "*", "with": "pattern", "parameters": {"kinds": ["iban"]}},
		{"resource": "*", "with": "pattern"},
	})
	masks == [{"resource": "*", "with": "pattern", "scope": "source", "code": "policy.postgres.mask"}]
}

test_parameters_that_disagree_on_null_stay_null if {
	masks := masked({
		{"resource": "r", "with": "null", "parameters": {"a": 2}},
		{"resource": "r", "with": "null"},
	})
	[mask["with"] | some mask in masks] == ["null"]
}

test_none_is_no_mask if {
	decision := sallyport.decision with input as operation
		with data.policy as {"postgres": {"allow": yes, "mask": {{"resource": "r", "with": "none"}}}}
		with data.classification as {"orders": {"r": "public"}}
		with data.masks as {"public": "none"}
	decision.combined.outcome == "allow"
	decision.combined.masks == []
}

test_none_on_a_resource_of_another_label_is_refused if {
	decision := sallyport.decision with input as operation
		with data.policy as {"postgres": {"allow": yes, "mask": {{"resource": "r", "with": "none"}}}}
		with data.classification as {"orders": {"r": "contact", "s": "public"}}
		with data.masks as {"public": "none", "contact": "partial"}
	[reason.code | some reason in decision.combined.reasons] == ["policy_shape"]
}

test_none_does_not_lift_a_mask if {
	decision := sallyport.decision with input as operation
		with data.policy as {"postgres": {
			"allow": yes,
			"mask": {{"resource": "r", "with": "none"}, {"resource": "r", "with": "partial"}},
		}}
		with data.classification as {"orders": {"r": ["contact", "public"]}}
		with data.masks as {"public": "none"}
	[mask["with"] | some mask in decision.combined.masks] == ["partial"]
}

test_filters_are_all_kept if {
	answer := combined({"filter": {{"resource": "r", "where": "b"}, {"resource": "r", "where": "a", "code": "f"}}})
	answer.filters == [
		{"code": "f", "resource": "r", "where": "a"},
		{"code": "policy.postgres.filter", "resource": "r", "where": "b"},
	]
}

test_the_lowest_limit_of_each_kind_holds if {
	decision := sallyport.decision with input as operation
		with data.policy as {
			"postgres": {"allow": yes, "limit": {{"rows": 10, "bytes": 9}, {"rows": 7}}},
			"all": {"limit": {{"rows": 8, "code": "l"}}},
		}
	decision.combined.limits == {"rows": 7, "bytes": 9}
}

labelled(classification, masks) := decision.combined if {
	decision := sallyport.decision with input as operation
		with data.policy as {"postgres": {"allow": yes}}
		with data.classification as classification
		with data.masks as masks
}

test_a_label_without_a_mask_is_a_deny if {
	labelled({"orders": {"app.customers.email": "contact"}}, {}).reasons == [{
		"code": "mask_missing",
		"message": `label "contact" of app.customers.email has no mask in data.masks`,
	}]
}

test_any_label_of_a_list_without_a_mask_is_a_deny if {
	masks := {"contact": "partial", "secret": "nul"}
	labelled({"orders": {"app.customers.email": ["contact", "secret", 7]}}, masks).reasons == [
		{"code": "mask_missing", "message": `label "secret" of app.customers.email has no mask in data.masks`},
		{"code": "mask_missing", "message": "label 7 of app.customers.email has no mask in data.masks"},
	]
}

test_labels_with_masks_are_fine if {
	masks := {"contact": "partial", "public": "none"}
	labelled({"orders": {"app.customers.email": ["contact", "public"]}}, masks).outcome == "allow"
}

test_labels_of_what_is_not_touched_are_no_matter if {
	labelled({"orders": {"app.customers.ssn": "identity"}, "other": {"app.customers.email": "x"}}, {}).outcome == "allow"
}
