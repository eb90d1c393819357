# METADATA
# title: Policy
# description: |
#   What a site writes stands in packages below this one. Nothing is defined here: this file ties the schema of the input
#   to all of them, so that `opa check --strict --schema rego/schemas` finds a misspelt field in a file that says nothing
#   of schemas itself.
# scope: subpackages
# schemas:
# - input: schema.input
package policy
