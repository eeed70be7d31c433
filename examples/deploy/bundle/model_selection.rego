# METADATA
# title: Who may call which model
package checkrein.model_selection

decision := {"allow": count(reasons) == 0, "reasons": reasons}

reasons contains {"code": "tier.model", "msg": "the tier does not include this model"} if not included

# A model whose size nobody has told is in no tier.
included if input.resource.properties.size in sizes[input.subject.properties.tier]

sizes := {"free": ["small"], "pro": ["small", "large"]}
