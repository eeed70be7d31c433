# METADATA
# title: What may be in an answer
package checkrein.post_completion

import data.checkrein.findings

decision := {"allow": true, "obligations": findings.redactions}
