package policy.postgres_test

import data.policy.postgres

agent := {"kind": "agent", "subject": "agent:billing-bot", "groups": ["agents", "billing"], "roles": ["readonly"], "purpose": "month-end report"}

select(relation, columns) := {
	"principal": agent,
	"target": {"name": "shop", "protocol": "postgres"},
	"operation": {
		"action": "read",
		"opaque": false,
		"resources": array.concat(
			[{"type": "relation", "name": relation, "access": "read"}],
			[{"type": "column", "name": concat(".", [relation, column]), "access": "read", "use": "output"} |
				some column in columns
			],
		),
		"postgres": {"statements": [{"kind": "select", "opaque": false, "bounded": true}]},
	},
}

codes(reasons) := {reason.code | some reason in reasons}

test_agents_read_orders if {
	codes(postgres.allow) == {"agent_reads"} with input as select("app.orders", ["id", "total"])
}

test_agents_read_no_secrets if {
	count(postgres.allow) == 0 with input as select("app.secrets", ["value"])
}

test_names_of_customers_are_open if {
	count(postgres.deny) == 0 with input as select("app.customers", ["name", "region"])
}

test_card_numbers_are_not if {
	codes(postgres.deny) == {"payment_data"} with input as select("app.customers", ["name", "card_number"])
}

test_email_is_masked if {
	{[mask.resource, mask["with"]] | some mask in postgres.mask} == {["app.customers.email", "partial"]} with input as select(
		"app.customers",
		["name", "email"],
	)
}

test_a_delete_is_no_read if {
	deletion := object.union(select("app.orders", []), {"operation": {
		"action": "delete",
		"resources": [{"type": "relation", "name": "app.orders", "access": "delete"}],
	}})
	count(postgres.allow) == 0 with input as deletion
}

deletion(bounded) := object.union(select("app.orders", []), {"operation": {
	"action": "delete",
	"opaque": false,
	"resources": [
		{"type": "relation", "name": "app.orders", "access": "delete"},
		{"type": "relation", "name": "app.orders", "access": "read"},
		{"type": "relation", "name": "app.order_items", "access": "delete", "via": "app.orders"},
	],
	"postgres": {"statements": [{"kind": "delete", "opaque": false, "bounded": bounded}]},
}})

test_a_delete_of_some_orders_waits_for_their_owners if {
	codes(postgres.allow) == {"agent_removes_orders"} with input as deletion(true)
	codes(postgres.approval) == {"deletes_wait"} with input as deletion(true)
}

test_a_delete_of_all_orders_is_denied if {
	count(postgres.allow) == 0 with input as deletion(false)
}
