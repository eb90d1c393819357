package policy.month_end_test

import data.policy.postgres
import data.policy.postgres_test

payments(principal) := object.union(postgres_test.select("app.payments", ["amount"]), {"principal": principal})

test_billing_reads_payments_for_the_report if {
	postgres_test.codes(postgres.allow) == {"month_end_payments"} with input as payments(postgres_test.agent)
}

test_and_for_nothing_else if {
	count(postgres.allow) == 0 with input as payments(object.union(postgres_test.agent, {"purpose": "curiosity"}))
}
