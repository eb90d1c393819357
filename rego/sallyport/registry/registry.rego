# METADATA
# title: Registries of images, for the writers of policy
# description: |
#   Questions about the request in `input`, each answered positively: what is undefined, empty or unknown is never true here.
#
#       import data.sallyport.registry
#       allow contains {"code": "pulls"} if registry.pulls_only
#       deny contains {"code": "unsigned"} if registry.publishes; not registry.signed
# schemas:
# - input: schema.registry
package sallyport.registry

# METADATA
# title: Nothing is changed
# description: Manifests and blobs are pulled, tags and referrers listed.
pulls_only if {
	input.operation.registry.operation in {"pull", "list"}
	input.operation.action == "read"
}

# METADATA
# title: Something is pushed
# description: Blobs in whatever steps, blobs of other repositories, manifests.
pushes if {
	input.operation.registry.operation in {"push", "mount"}
	input.operation.action == "write"
}

# METADATA
# title: An image comes into being
# description: |
#   The manifest is pushed: before, there are only blobs that nobody finds. This is what an approval is best asked for, and
#   what all that is said of the image is known of.
publishes if {
	input.operation.registry.operation == "push"
	input.operation.registry.object == "manifest"
}

# METADATA
# title: A tag is moved, or made
# description: '"v1" where the manifest is pushed by that tag.'
published_tag := input.operation.registry.tag if publishes

# METADATA
# title: Something is removed
removes if input.operation.action == "delete"

# METADATA
# title: The repository lies below this path
# description: 'below("team"): team/app and team/app/base, never teams/app, nor "team" itself. Of a mount, both repositories have to.'
below(path) if {
	prefix := concat("", [path, "/"])
	startswith(input.operation.registry.repository, prefix)
	not _mounts_from_elsewhere(prefix)
}

# METADATA
# title: There is a signature
# description: |
#   "present" is whatever somebody who may push has attached: it says that signing was not forgotten, not who signed.
signed if input.operation.registry.signature in {"present", "verified"}

# METADATA
# title: There is a signature by a key that the target names
# description: |
#   Of this very digest, or of an index that names it and was asked for just before. Never true where `upstream.signatures`
#   of the target names no keys.
verified if count(signers) > 0

# METADATA
# title: Names of the keys by which there is a signature
# description: '"release" in signers: as upstream.signatures calls it.'
signers contains signature.key if {
	some signature in input.operation.registry.signatures
	signature.verified
}

# METADATA
# title: It is itself a signature or an attestation
# description: |
#   All parts of the manifest are documents in JSON, of which nothing can be run: whoever checks signatures pulls it, and it
#   has none of its own. Never true where `upstream.signatures` names no keys.
inert if input.operation.registry.inert

# METADATA
# title: Labels of the image's configuration, and annotations of its manifest
# description: 'labels["org.opencontainers.image.source"]: a label where there is one; else the annotation of that name.'
labels := object.union(object.get(_manifest, "annotations", {}), object.get(_manifest, "labels", {})) if _manifest

# METADATA
# title: Parts of the image that clients fetch from elsewhere
foreign contains layer.digest if {
	some layer in input.operation.registry.manifest.layers
	layer.foreign
}

_manifest := input.operation.registry.manifest

_mounts_from_elsewhere(prefix) if {
	from := input.operation.registry.from
	not startswith(from, prefix)
}
