# METADATA
# title: What the stages share
package checkrein.routing

personal if count(input.context.findings) > 0

personal if input.subject.properties.team == "hr"

external := {"code": "privacy.external", "msg": "personal data for a model outside of the house"}
