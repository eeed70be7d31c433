# METADATA
# title: What may be in an answer
# description: Personal data and secrets are redacted, whoever asked.
package checkrein.post_completion

import data.checkrein.baseline

decision := {"allow": true, "obligations": baseline.redactions}
