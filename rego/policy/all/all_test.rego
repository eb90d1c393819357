package policy.all_test

import data.policy.all

denied(principal) if {
	{reason.code | some reason in all.deny} == {"purpose_missing"} with input as {"principal": principal}
}

test_an_agent_needs_a_purpose if {
	denied({"kind": "agent"})
	denied({"kind": "agent", "purpose": ""})
	denied({"kind": "agent", "purpose": "  "})
}

test_an_agent_with_a_purpose_is_not_denied if {
	not denied({"kind": "agent", "purpose": "month-end report"})
}

test_people_need_none if {
	not denied({"kind": "human"})
}
