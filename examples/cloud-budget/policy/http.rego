# METADATA
# title: Machines, for as long as there is money
package policy.http

import data.sallyport.http

# METADATA
# title: Agents see their machines
# custom:
#   code: cloud_read
allow contains {"code": "cloud_read"} if {
	input.operation.http.operationId in {"listMachines", "getMachine"}
	http.reads_only
}

# METADATA
# title: Agents make machines that have a price
# custom:
#   code: cloud_create
allow contains {"code": "cloud_create"} if {
	_creates
	http.changes_only
	_price
}

# METADATA
# title: A machine costs what the list says
# custom:
#   code: cloud_price
cost contains {"code": "cloud_price", "units": _price} if _creates

# METADATA
# title: The day's budget is not exceeded
# custom:
#   code: cloud_budget
deny contains {"code": "cloud_budget", "message": message} if {
	_creates
	input.usage.cost.day + _price > data.budget
	message := sprintf("a %s machine is %d € a day, and %d € of %d € are used up", [
		input.operation.http.body.json.size,
		_price,
		input.usage.cost.day,
		data.budget,
	])
}

_creates if input.operation.http.operationId == "createMachine"

_price := data.prices[input.operation.http.body.json.size]
