package policy.http_test

import data.policy.http

asked(id, action, access, body) := {
	"operation": {
		"action": action,
		"opaque": false,
		"resources": [{"type": "path", "name": "/machines", "access": access}],
		"http": {"method": "POST", "operationId": id, "body": {"kind": "json", "json": body}},
	},
	"usage": {"cost": {"day": 90}},
}

codes(set) := {element.code | some element in set}

test_machines_are_seen if {
	codes(http.allow) == {"cloud_read"} with input as asked("listMachines", "read", "read", {})
}

test_a_machine_is_made_and_paid_for if {
	codes(http.allow) == {"cloud_create"} with input as asked("createMachine", "write", "insert", {"size": "small"})
	some element in http.cost with input as asked("createMachine", "write", "insert", {"size": "small"})
	element.units == 5
}

test_what_has_no_price_is_not_made if {
	count(http.allow) == 0 with input as asked("createMachine", "write", "insert", {"size": "huge"})
}

test_the_budget_is_the_end if {
	count(http.deny) == 0 with input as asked("createMachine", "write", "insert", {"size": "small"})
	codes(http.deny) == {"cloud_budget"} with input as asked("createMachine", "write", "insert", {"size": "medium"})
}

test_nothing_else_is_allowed if {
	count(http.allow) == 0 with input as asked("deleteMachine", "delete", "delete", {})
}
