package policy.postgres

import data.sallyport.postgres

# METADATA
# title: The month-end report reads payments
# description: Of the billing group, for this purpose, and still nothing but reads.
# custom:
#   code: month_end_payments
allow contains {"code": "month_end_payments"} if {
	"billing" in input.principal.groups
	input.principal.purpose == "month-end report"
	postgres.reads_only
	postgres.touches("app.payments")
	_reads_within(_open | {"app.payments"})
}
