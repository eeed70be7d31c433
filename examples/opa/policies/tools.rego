# METADATA
# title: Which tools a model may call
# description: In conftest's form, as many bundles have it; each message denies.
package desk.tools

import data.desk
import data.desk_config as config

deny contains {"code": "desk.suspended", "msg": "the account is suspended"} if desk.suspended

deny contains {"code": "desk.tool", "msg": "the tool is not for this tier"} if not allowed

allowed if input.resource.id in desk.tier.tools
