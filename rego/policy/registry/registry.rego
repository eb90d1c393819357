# METADATA
# title: What agents and people may do with images
# description: |
#   Two roles: `readonly` pulls, `publisher` pushes as well. What takes the place of an image that others use waits for a
#   person, and so does a removal; what is fetched from elsewhere is not published. Where the target's labels say
#   `signatures: required`, images are pulled, and tags made, with a signature by one of its keys alone.
package policy.registry

import data.sallyport.registry

# METADATA
# title: Readers and publishers pull
# custom:
#   code: registry_pull
allow contains {"code": "registry_pull"} if {
	some role in ["readonly", "publisher"]
	role in input.principal.roles
	registry.pulls_only
}

# METADATA
# title: Publishers push and remove
# custom:
#   code: registry_push
allow contains {"code": "registry_push"} if {
	"publisher" in input.principal.roles
	_changes
}

# METADATA
# title: Images hold all that they are made of
# description: A layer that clients fetch from another place is not looked at by anybody here.
# custom:
#   code: registry_foreign
deny contains {
	"code": "registry_foreign",
	"message": "The image has layers that are kept elsewhere: push it with all of them",
} if {
	registry.publishes
	count(registry.foreign) > 0
}

# METADATA
# title: Where the target asks for signatures, what has none is neither pulled nor published
# description: |
#   By a key of `upstream.signatures`. An image comes into being by its digest, is signed, and gets its tag then; what checks
#   signatures itself may pull them.
# custom:
#   code: registry_unsigned
deny contains {
	"code": "registry_unsigned",
	"message": "The image has no signature by a key that counts here: push it by its digest, sign that, then push the tag",
} if {
	input.target.labels.signatures == "required"
	_names_an_image
	not registry.verified
	not registry.inert
}

# METADATA
# title: Tags that others follow wait for a person
# custom:
#   code: registry_release
approval contains {
	"code": "registry_release",
	"groups": ["operators"],
	"quorum": 1,
	"expires": "15m",
	"reason": concat("", ["It publishes ", input.operation.registry.repository, ":", registry.published_tag]),
} if {
	_followed(registry.published_tag)
}

# METADATA
# title: Removals wait for a person
# custom:
#   code: registry_delete
approval contains {
	"code": "registry_delete",
	"groups": ["operators"],
	"quorum": 1,
	"expires": "15m",
	"reason": concat(" ", ["It removes from", input.operation.registry.repository]),
} if {
	registry.removes
}

_changes if registry.pushes

_changes if registry.removes

_names_an_image if registry.published_tag

_names_an_image if {
	input.operation.registry.operation == "pull"
	input.operation.registry.object == "manifest"
}

_followed(tag) if tag in {"latest", "stable", "release", "production"}
